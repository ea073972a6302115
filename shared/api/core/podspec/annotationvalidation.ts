/** Annotations with a meaning for pods: older forms of security settings, and the cost of deletion. */
import { lookUp } from '../../../machinery/jsonvalue.ts'
import { forbidden, invalid, type FieldError, type Path } from '../../../machinery/field.ts'
import type { ObjectMeta } from '../../meta/objectmeta.ts'
import { appArmorAnnotation } from './apparmorannotations.ts'
import { localPath } from './formats.ts'
import type { PodSpec } from './podspec.ts'

const seccompPod = 'seccomp.security.alpha.kubernetes.io/pod'
const seccompContainer = 'container.seccomp.security.alpha.kubernetes.io/'
const deletionCost = 'controller.kubernetes.io/pod-deletion-cost'
const mirror = 'kubernetes.io/config.mirror'

/** `at` is the annotations' path, `specAt` that of the spec. */
export function validatePodAnnotations(meta: ObjectMeta, spec: PodSpec, at: Path, specAt: Path): FieldError[] {
  const errors: FieldError[] = []
  for (const [key, value] of Object.entries(meta.annotations ?? {})) {
    if (key === mirror && !spec.nodeName) errors.push(invalid(at.key(key), value, 'must set spec.nodeName if mirror pod annotation is set'))
    if (key === deletionCost && !isInt32(value)) errors.push(invalid(at.key(key), value, 'must be a 32bit integer'))
    if (key === seccompPod || key.startsWith(seccompContainer)) errors.push(...seccompRules(value, at.child(key)))
    if (key.startsWith(appArmorAnnotation)) {
      const name = key.slice(appArmorAnnotation.length)
      const all = [...(spec.initContainers ?? []), ...(spec.containers ?? []), ...(spec.ephemeralContainers ?? [])]
      if (!all.some(c => c.name === name)) errors.push(invalid(at.key(key), name, 'container not found'))
      if (value !== '' && value !== 'runtime/default' && value !== 'unconfined' && !value.startsWith('localhost/'))
        errors.push(invalid(at.key(key), value, `invalid AppArmor profile name: "${value}"`))
    }
  }
  return [...errors, ...profilesMatch(meta, spec, specAt)]
}

const isInt32 = (value: string): boolean =>
  /^(0|-?[1-9][0-9]*)$/.test(value) && Math.abs(Number(value)) <= 2147483648 && Number(value) !== 2147483648

function seccompRules(profile: string, at: Path): FieldError[] {
  if (profile === 'runtime/default' || profile === 'docker/default' || profile === 'unconfined') return []
  return profile.startsWith('localhost/')
    ? localPath(profile.slice('localhost/'.length), at)
    : [invalid(at, profile, 'must be a valid seccomp profile')]
}

/** Where annotation and field both name a profile they must name the same one. */
function profilesMatch(meta: ObjectMeta, spec: PodSpec, specAt: Path): FieldError[] {
  const annotations = meta.annotations ?? {}
  const errors = oneMatches(
    'seccomp',
    annotations[seccompPod],
    spec.securityContext?.seccompProfile,
    specAt.child('securityContext', 'seccompProfile'),
  )
  for (const list of ['initContainers', 'containers', 'ephemeralContainers'] as const)
    for (const [i, c] of (spec[list] ?? []).entries()) {
      const at = specAt.child(list).index(i).child('securityContext')
      errors.push(
        ...oneMatches('seccomp', annotations[seccompContainer + c.name], c.securityContext?.seccompProfile, at.child('seccompProfile')),
      )
      if (spec.os?.name === 'windows') continue
      const profile = c.securityContext?.appArmorProfile ?? spec.securityContext?.appArmorProfile
      errors.push(...oneMatches('apparmor', annotations[appArmorAnnotation + c.name], profile, at.child('appArmorProfile')))
    }
  return errors
}

const annotationsOf: { [type: string]: readonly string[] } = {
  Unconfined: ['unconfined'],
  RuntimeDefault: ['runtime/default', 'docker/default'],
}

function oneMatches(
  what: string,
  annotation: string | undefined,
  profile: { type: string; localhostProfile?: string | undefined } | undefined,
  at: Path,
): FieldError[] {
  if (annotation === undefined || !profile) return []
  const typeDiffers = [forbidden(at.child('type'), `${what} type in annotation and field must match`)]
  if (profile.type === 'Localhost') {
    if (!annotation.startsWith('localhost/')) return typeDiffers
    if (annotation.slice('localhost/'.length) === profile.localhostProfile) return []
    return [forbidden(at.child('localhostProfile'), `${what} profile in annotation and field must match`)]
  }
  return lookUp(annotationsOf, profile.type)?.includes(annotation) === false ? typeDiffers : []
}

/** Annotations that are fixed once the pod is there. */
export function validatePodAnnotationsUpdate(meta: ObjectMeta, old: ObjectMeta, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const now = meta.annotations ?? {}
  const before = old.annotations ?? {}
  for (const key of new Set([...Object.keys(before), ...Object.keys(now)])) {
    if (now[key] === before[key]) continue
    const verb = before[key] === undefined ? 'add' : 'remove or update'
    if (key.startsWith(appArmorAnnotation)) errors.push(forbidden(at.key(key), `may not ${verb} AppArmor annotations`))
    if (key === mirror) errors.push(forbidden(at.key(key), `may not ${verb} mirror pod annotation`))
  }
  return errors
}

/** A pod that a kubelet runs by itself and only shows here. */
export const isMirrorPod = (meta: ObjectMeta): boolean => meta.annotations?.[mirror] !== undefined
