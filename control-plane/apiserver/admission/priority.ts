/** Priority: pods get the priority and the preemption policy of their class, or of the one that is the default; there is one default. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { PriorityClass } from '#shared/api/scheduling/priorityclass.ts'
import type { Registry, Stored } from '../registry/registry.ts'
import { isAbout, refused, type AdmissionPlugin, type Attributes } from './admission.ts'

const table = { group: 'scheduling.k8s.io', plural: 'priorityclasses' }

export function priority(registry: Registry): AdmissionPlugin {
  // Lists are the same until something changes.
  let known: { readonly list: readonly Stored[]; readonly globalDefault: PriorityClass | undefined } | undefined
  const globalDefault = (): PriorityClass | undefined => {
    const list = registry.list(table)
    if (known?.list !== list) known = { list, globalDefault: smallestDefault(list) }
    return known.globalDefault
  }
  const classNamed = (name: string): PriorityClass | undefined => registry.get(table, '', name)?.object as PriorityClass | undefined

  function admitPod(a: Attributes): void | Promise<void> {
    const { spec } = a.object as Pod
    const name = spec.priorityClassName ?? ''
    const found = name === '' ? globalDefault() : classNamed(name)
    if (found || name === '') return resolve(a, spec, found)
    // The class may just have been made through another server.
    return registry.fresh().then(() => {
      const late = classNamed(name)
      if (!late) throw refused(a, `no PriorityClass with name ${name} was found`)
      resolve(a, spec, late)
    })
  }

  return {
    name: 'Priority',
    mutate(a) {
      if (!isAbout(a, '', 'pods')) return undefined
      if (a.operation === 'CREATE') return admitPod(a)
      if (a.operation !== 'UPDATE') return undefined
      // Both are set by the server: leaving them out of an update means no change.
      const { spec } = a.object as Pod
      const old = (a.old as Pod).spec
      spec.priority ??= old.priority
      spec.preemptionPolicy ??= old.preemptionPolicy
      return undefined
    },
    async validate(a) {
      if (!(a.object as PriorityClass | undefined)?.globalDefault || !isAbout(a, table.group, table.plural)) return
      await registry.fresh()
      const other = globalDefault()
      if (other && (a.operation === 'CREATE' || other.metadata.name !== a.name))
        throw refused(a, `PriorityClass ${other.metadata.name} is already marked as default. Only one default can exist`)
    },
  }
}

/** Two requests at one time may have made two defaults: the one with the smallest value counts. */
function smallestDefault(list: readonly Stored[]): PriorityClass | undefined {
  let smallest: PriorityClass | undefined
  for (const { object } of list) {
    const c = object as PriorityClass
    if (c.globalDefault && (!smallest || c.value < smallest.value)) smallest = c
  }
  return smallest
}

function resolve(a: Attributes, spec: Pod['spec'], found: PriorityClass | undefined): void {
  const value = found?.value ?? 0
  const policy = found ? found.preemptionPolicy : 'PreemptLowerPriority'
  if (!spec.priorityClassName && found?.metadata.name) spec.priorityClassName = found.metadata.name
  const computed = (what: string): string =>
    `must not be provided in pod spec; priority admission controller computed ${what} from the given`
  if (spec.priority !== undefined && spec.priority !== value)
    throw refused(a, `the integer value of priority (${spec.priority}) ${computed(String(value))} PriorityClass name`)
  spec.priority = value
  if (policy === undefined) return
  if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== policy)
    throw refused(a, `the string value of PreemptionPolicy (${spec.preemptionPolicy}) ${computed(policy)} PriorityClass name`)
  spec.preemptionPolicy = policy
}
