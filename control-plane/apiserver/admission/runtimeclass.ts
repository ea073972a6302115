/** RuntimeClass: a pod of a runtime class costs what the class says beside its containers, and goes where its runtime is. */
import type { Pod } from '#shared/api/core/pod.ts'
import { semanticEqual } from '#shared/api/meta/validation.ts'
import type { RuntimeClass } from '#shared/api/node/runtimeclass.ts'
import { mergeTolerations } from '#shared/scheduling/tolerations.ts'
import type { Registry } from '../registry/registry.ts'
import { isAbout, refused, type AdmissionPlugin, type Attributes } from './admission.ts'

const table = { group: 'node.k8s.io', plural: 'runtimeclasses' }

export function runtimeClass(registry: Registry): AdmissionPlugin {
  const concerns = (a: Attributes): boolean => a.operation === 'CREATE' && isAbout(a, '', 'pods')
  /** Gives the class of a pod to `use`; at once when the cache has it, which may be behind. */
  function withClass(a: Attributes, use: (found: RuntimeClass | undefined) => void): void | Promise<void> {
    const name = (a.object as Pod).spec.runtimeClassName
    if (name === undefined) return use(undefined)
    const found = registry.get(table, '', name)
    if (found) return use(found.object as RuntimeClass)
    return registry.fresh().then(() => {
      const late = registry.get(table, '', name)
      if (!late) throw refused(a, `pod rejected: RuntimeClass ${JSON.stringify(name)} not found`)
      use(late.object as RuntimeClass)
    })
  }
  return {
    name: 'RuntimeClass',
    mutate(a) {
      if (!concerns(a) || (a.object as Pod).spec.runtimeClassName === undefined) return undefined
      return withClass(a, found => {
        if (!found) return
        setOverhead(a, found)
        setScheduling(a, found)
      })
    },
    validate(a) {
      if (!concerns(a)) return undefined
      const { overhead } = (a.object as Pod).spec
      return withClass(a, found => {
        if (found?.overhead && !semanticEqual(found.overhead.podFixed, overhead)) throw refused(a, otherOverhead)
        if (!found?.overhead && Object.keys(overhead ?? {}).length > 0)
          throw refused(a, 'pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead')
      })
    },
  }
}

const otherOverhead = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"

function setOverhead(a: Attributes, { overhead }: RuntimeClass): void {
  if (!overhead) return
  const { spec } = a.object as Pod
  if (spec.overhead !== undefined && !semanticEqual(spec.overhead, overhead.podFixed)) throw refused(a, otherOverhead)
  spec.overhead = { ...overhead.podFixed }
}

function setScheduling(a: Attributes, { scheduling }: RuntimeClass): void {
  if (!scheduling) return
  const { spec } = a.object as Pod
  for (const [key, value] of Object.entries(scheduling.nodeSelector ?? {})) {
    const own = spec.nodeSelector?.[key]
    if (own !== undefined && own !== value)
      throw refused(a, `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`)
  }
  if (scheduling.nodeSelector) spec.nodeSelector = { ...spec.nodeSelector, ...scheduling.nodeSelector }
  if (scheduling.tolerations?.length) spec.tolerations = mergeTolerations(spec.tolerations ?? [], scheduling.tolerations)
}
