/**
 * What may change of a pod once it is there, by its main resource and by each subresource. (pkg/apis/core/validation ValidatePodUpdate and
 * its kin)
 */
import { clone } from '../../../machinery/jsonvalue.ts'
import { forbidden, invalid, required, type FieldError, type Path } from '../../../machinery/field.ts'
import { rangeError } from '../../../machinery/names.ts'
import { semanticEqual } from '../../meta/validation.ts'
import type { Pod } from '../pod.ts'
import type { NodeAffinity } from './affinity.ts'
import { isMirrorPod, validatePodAnnotationsUpdate } from './annotationvalidation.ts'
import type { Container } from './container.ts'
import { isSidecar, validateImageName } from './containervalidation.ts'
import { podQOS } from './qos.ts'
import type { PodSpec } from './podspec.ts'
import { validateStatusUpdate } from './statusvalidation.ts'

const maxInt32 = 2147483647
const mutable = [
  '`spec.containers[*].image`',
  '`spec.initContainers[*].image`',
  '`spec.activeDeadlineSeconds`',
  '`spec.tolerations` (only additions to existing tolerations)',
  '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
]

/** All broken rules of a change, in addition to those of the new pod. `at` is the root. */
export function validatePodUpdate(pod: Pod, old: Pod, at: Path, subresource: string): FieldError[] {
  const annotations = validatePodAnnotationsUpdate(pod.metadata, old.metadata, at.child('metadata', 'annotations'))
  switch (subresource) {
    case 'status':
      return [...annotations, ...validateStatusUpdate(pod, old, at)]
    case 'ephemeralcontainers':
      return validateEphemeralUpdate(pod, old, at, annotations)
    case 'resize':
      return validateResize(pod, old, at)
    case '':
      return [...annotations, ...validateSpecUpdate(pod.spec, old.spec, at.child('spec'))]
    default:
      return annotations
  }
}

function validateSpecUpdate(spec: PodSpec, old: PodSpec, path: Path): FieldError[] {
  const errors: FieldError[] = []
  for (const list of ['containers', 'initContainers'] as const) {
    const now = spec[list] ?? []
    if (now.length !== (old[list] ?? []).length)
      return [...errors, forbidden(path.child(list), 'pod updates may not add or remove containers')]
    now.forEach((c, i) => {
      if (!c.image) errors.push(required(path.child(list).index(i).child('image')))
      errors.push(...validateImageName(c, path.child(list).index(i)))
    })
  }
  const deadlineAt = path.child('activeDeadlineSeconds')
  const deadline = spec.activeDeadlineSeconds
  if (deadline !== undefined) {
    if (deadline < 0 || deadline > maxInt32) return [...errors, invalid(deadlineAt, deadline, rangeError(0, maxInt32))]
    if (old.activeDeadlineSeconds !== undefined && old.activeDeadlineSeconds < deadline)
      return [...errors, invalid(deadlineAt, deadline, 'must be less than or equal to previous value')]
  } else if (old.activeDeadlineSeconds !== undefined)
    errors.push(invalid(deadlineAt, undefined, 'must not update from a positive integer to nil value'))

  // Where the first deadline came late, what was allowed to change: everything that is put back here.
  const rest = clone(spec)
  for (const list of ['containers', 'initContainers'] as const) rest[list]?.forEach((c, i) => assign(c, 'image', old[list]?.[i]?.image))
  assign(rest, 'activeDeadlineSeconds', old.activeDeadlineSeconds)
  assign(rest, 'schedulingGates', old.schedulingGates)
  assign(rest, 'tolerations', old.tolerations)
  if ((old.terminationGracePeriodSeconds ?? 0) < 0 && spec.terminationGracePeriodSeconds === 1)
    assign(rest, 'terminationGracePeriodSeconds', old.terminationGracePeriodSeconds)
  errors.push(
    ...validateTolerationsUpdate(spec, old, path.child('tolerations')),
    ...validateGatesUpdate(spec, old, path.child('schedulingGates')),
  )
  if (old.schedulingGates?.length) {
    if (!semanticEqual(spec.nodeSelector, old.nodeSelector)) {
      errors.push(...validateNodeSelectorUpdate(spec.nodeSelector ?? {}, old.nodeSelector ?? {}, path.child('nodeSelector')))
      assign(rest, 'nodeSelector', old.nodeSelector)
    }
    const affinity = spec.affinity?.nodeAffinity
    if (!semanticEqual(affinity, old.affinity?.nodeAffinity)) {
      errors.push(...validateNodeAffinityUpdate(affinity, old.affinity?.nodeAffinity, path.child('affinity', 'nodeAffinity')))
      const { nodeAffinity: _, ...others } = rest.affinity ?? {}
      const same = { ...others, ...(old.affinity?.nodeAffinity ? { nodeAffinity: old.affinity.nodeAffinity } : {}) }
      assign(rest, 'affinity', old.affinity === undefined && Object.keys(same).length === 0 ? undefined : same)
    }
  }
  if (!semanticEqual(rest, old))
    errors.push(
      forbidden(path, `pod updates may not change fields other than ${mutable.join(',')}\n${differences(old, rest, path).join('\n')}`),
    )
  return errors
}

/** Sets a field, or takes it away. */
function assign<T extends object, K extends keyof T>(to: T, key: K, value: T[K] | undefined): void {
  if (value === undefined) delete to[key]
  else to[key] = value
}

/** A line for each value that differs, for people to read. */
function differences(old: unknown, now: unknown, path: Path): string[] {
  if (semanticEqual(old, now)) return []
  if (isTree(old) && isTree(now)) {
    const list = Array.isArray(old) || Array.isArray(now)
    return [...new Set([...Object.keys(old), ...Object.keys(now)])].flatMap(key =>
      differences(old[key], now[key], list ? path.index(Number(key)) : path.child(key)),
    )
  }
  const shown = (v: unknown) => (v === undefined ? 'nothing' : JSON.stringify(v))
  return [`  ${String(path)}: ${shown(old)} -> ${shown(now)}`]
}
const isTree = (v: unknown): v is { [key: string]: unknown } => typeof v === 'object' && v !== null

function validateTolerationsUpdate(spec: PodSpec, old: PodSpec, at: Path): FieldError[] {
  for (const t of old.tolerations ?? []) {
    const kept = (spec.tolerations ?? []).some(n =>
      semanticEqual({ ...t, tolerationSeconds: undefined }, { ...n, tolerationSeconds: undefined }),
    )
    if (!kept) return [forbidden(at, 'existing toleration can not be modified except its tolerationSeconds')]
  }
  return []
}

function validateGatesUpdate(spec: PodSpec, old: PodSpec, at: Path): FieldError[] {
  return (spec.schedulingGates ?? []).flatMap((gate, i) =>
    (old.schedulingGates ?? []).some(o => o.name === gate.name)
      ? []
      : [forbidden(at.index(i).child('name'), `only deletion is allowed, but found new scheduling gate '${gate.name}'`)],
  )
}

/** Gated pods may be narrowed down to fewer nodes, never widened. */
function validateNodeSelectorUpdate(now: { [key: string]: string }, old: { [key: string]: string }, at: Path): FieldError[] {
  const changed = Object.entries(old).some(([key, value]) => now[key] !== value)
  return changed ? [invalid(at, now, 'only additions are allowed (no mutations or deletions)')] : []
}

function validateNodeAffinityUpdate(now: NodeAffinity | undefined, old: NodeAffinity | undefined, path: Path): FieldError[] {
  const oldTerms = old?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? []
  if (oldTerms.length === 0) return []
  const at = path.child('requiredDuringSchedulingIgnoredDuringExecution', 'nodeSelectorTerms')
  const terms = now?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? []
  if (terms.length !== oldTerms.length)
    return [invalid(at, terms, 'no additions/deletions to non-empty NodeSelectorTerms list are allowed')]
  return oldTerms.flatMap((term, i) => {
    const next = terms[i] ?? {}
    const narrowed = (['matchExpressions', 'matchFields'] as const).every(list =>
      (term[list] ?? []).every((r, j) => semanticEqual(r, next[list]?.[j])),
    )
    const empty = !term.matchExpressions?.length && !term.matchFields?.length
    return narrowed && (!empty || semanticEqual(term, next))
      ? []
      : [invalid(at.index(i), next, 'only additions are allowed (no mutations or deletions)')]
  })
}

function validateEphemeralUpdate(pod: Pod, old: Pod, root: Path, annotations: FieldError[]): FieldError[] {
  if (isMirrorPod(old.metadata)) return [forbidden(root, 'static pods do not support ephemeral containers')]
  const at = root.child('spec', 'ephemeralContainers')
  const errors = [...annotations]
  for (const c of old.spec.ephemeralContainers ?? []) {
    const now = pod.spec.ephemeralContainers?.find(n => n.name === c.name)
    if (!now) errors.push(forbidden(at, `existing ephemeral containers "${c.name}" may not be removed\n`))
    else if (!semanticEqual(now, c))
      errors.push(forbidden(at, `existing ephemeral containers "${c.name}" may not be changed\n${differences(c, now, at).join('\n')}`))
  }
  return errors
}

const resizable = ['cpu', 'memory']

function validateResize(pod: Pod, old: Pod, root: Path): FieldError[] {
  const set = (p: Pod) => Object.keys({ ...p.spec.resources?.requests, ...p.spec.resources?.limits }).length > 0
  if (set(pod) || set(old)) return [forbidden(root, 'pods with pod-level resources cannot be resized')]
  if (isMirrorPod(old.metadata)) return [forbidden(root, 'static pods cannot be resized')]
  if (old.spec.os?.name === 'windows') return [forbidden(root, 'windows pods cannot be resized')]
  const path = root.child('spec')
  const errors: FieldError[] = []
  if ((old.status?.qosClass ?? podQOS(old.spec)) !== podQOS(pod.spec))
    errors.push(invalid(path, pod.status?.qosClass ?? '', 'Pod QOS Class may not change as a result of resizing'))
  const others = (['containers', 'initContainers'] as const).flatMap(list => sameContainers(pod.spec[list], old.spec[list], list, path))
  if (others.length > 0) return [...errors, ...others]
  for (const list of ['initContainers', 'containers'] as const)
    (old.spec[list] ?? []).forEach((c, i) => {
      const now = pod.spec[list]![i]!
      const sidecar = list === 'initContainers'
      if (sidecar && !isSidecar(c)) {
        if (!semanticEqual(now, c)) errors.push(forbidden(path, 'resources for non-sidecar init containers are immutable'))
        return undefined
      }
      errors.push(...validateContainerResize(now, c, path.child(list).index(i).child('resources')))
      if (!semanticEqual(withoutResizable(now), withoutResizable(c)))
        errors.push(
          forbidden(
            path,
            sidecar ? 'only cpu and memory resources for sidecar containers are mutable' : 'only cpu and memory resources are mutable',
          ),
        )
      return undefined
    })
  if (errors.length > 0) return errors
  const rest = (spec: PodSpec) => ({ ...spec, containers: undefined, initContainers: undefined })
  return semanticEqual(rest(pod.spec), rest(old.spec)) ? [] : [forbidden(path, 'only cpu and memory resources are mutable')]
}

function sameContainers(now: readonly Container[] = [], old: readonly Container[] = [], list: string, path: Path): FieldError[] {
  const at = path.child(list)
  if (now.length !== old.length) return [forbidden(at, `${list} may not be added or removed on resize`)]
  return old.flatMap((c, i) =>
    c.name === now[i]!.name ? [] : [forbidden(at.index(i).child('name'), `${list} may not be renamed or reordered on resize`)],
  )
}

function validateContainerResize(now: Container, old: Container, at: Path): FieldError[] {
  const errors: FieldError[] = []
  for (const kind of ['requests', 'limits'] as const) {
    const removed = Object.keys(old.resources?.[kind] ?? {}).some(name => now.resources?.[kind]?.[name] === undefined)
    if (removed) errors.push(forbidden(at.child(kind), `resource ${kind} cannot be removed`))
  }
  return errors
}

/** The container without what a resize may change. */
function withoutResizable(c: Container): unknown {
  const strip = (list: { [name: string]: string } | undefined) =>
    Object.fromEntries(Object.entries(list ?? {}).filter(([name]) => !resizable.includes(name)))
  return {
    ...c,
    resizePolicy: undefined,
    resources: { ...c.resources, requests: strip(c.resources?.requests), limits: strip(c.resources?.limits) },
  }
}
