/** Priority: pods without a priority class get priority 0 and may preempt. */
import type { Pod } from '#shared/api/core/pod.ts'
import { lookUp } from '#shared/machinery/jsonvalue.ts'
import { forbidden } from '#shared/machinery/status.ts'
import { isAbout, type AdmissionPlugin } from './admission.ts'

// The two classes that exist without an object in every cluster.
const system: Readonly<Record<string, number>> = { 'system-cluster-critical': 2_000_000_000, 'system-node-critical': 2_000_001_000 }

export function priority(): AdmissionPlugin {
  return {
    name: 'Priority',
    mutate(a) {
      if (!isAbout(a, '', 'pods') || a.operation === 'DELETE') return
      const { spec } = a.object as Pod
      if (a.operation === 'UPDATE') {
        // Both are set by the server: leaving them out of an update means no change.
        const old = (a.old as Pod).spec
        spec.priority ??= old.priority
        spec.preemptionPolicy ??= old.preemptionPolicy
        return
      }
      const name = spec.priorityClassName ?? ''
      if (name !== '' && lookUp(system, name) === undefined)
        throw forbidden(a.resource, a.name, `no PriorityClass with name ${name} was found`)
      const value = lookUp(system, name) ?? 0
      if (spec.priority !== undefined && spec.priority !== value) {
        const why = `the integer value of priority (${spec.priority}) must not be provided in pod spec`
        throw forbidden(a.resource, a.name, `${why}; priority admission controller computed ${value} from the given PriorityClass name`)
      }
      spec.priority = value
      spec.preemptionPolicy ??= 'PreemptLowerPriority'
    },
  }
}
