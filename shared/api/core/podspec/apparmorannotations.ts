/** The annotations that named AppArmor profiles before there were fields for them. */
import { Path } from '../../../machinery/field.ts'
import type { ObjectMeta } from '../../meta/objectmeta.ts'
import type { PodSpec } from './podspec.ts'
import type { AppArmorProfile } from './securitycontext.ts'
import { validateAppArmor } from './securityvalidation.ts'

export const appArmorAnnotation = 'container.apparmor.security.beta.kubernetes.io/'
export const appArmorDeprecated = 'deprecated since v1.30; use the "appArmorProfile" field instead'

/** What a field would say instead; undefined for what no field can say. */
function fieldFor(annotation: string): AppArmorProfile | undefined {
  if (annotation === 'unconfined') return { type: 'Unconfined' }
  if (annotation === 'runtime/default') return { type: 'RuntimeDefault' }
  const [, localhostProfile] = /^localhost\/(.*)$/s.exec(annotation) ?? []
  return localhostProfile === undefined ? undefined : { type: 'Localhost', localhostProfile }
}

/**
 * Gives containers without a profile that of their annotation, as upstream's pod strategy does when a pod is created; the kubelet hears
 * fields only. Returns warnings about annotations that fields should replace.
 */
export function honourAppArmorAnnotations({ metadata, spec }: { metadata: ObjectMeta; spec: PodSpec }): string[] {
  const { annotations } = metadata
  if (!annotations || spec.os?.name === 'windows') return []
  return [...(spec.initContainers ?? []), ...(spec.containers ?? [])].flatMap(container => {
    const key = appArmorAnnotation + container.name
    const annotation = annotations[key]
    if (annotation === undefined || container.securityContext?.appArmorProfile) return []
    const field = fieldFor(annotation)
    if (field && validateAppArmor(field, new Path()).length === 0) {
      const { type, localhostProfile } = spec.securityContext?.appArmorProfile ?? {}
      if (field.type === type && field.localhostProfile === localhostProfile) return []
      container.securityContext = { ...container.securityContext, appArmorProfile: field }
    }
    return [`${new Path('metadata').child('annotations').key(key)}: ${appArmorDeprecated}`]
  })
}
