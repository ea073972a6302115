/** Admission: plugins that complete objects (mutating), then plugins that refuse (validating), in the order of the list. */
import type { DeleteOptions } from '#shared/api/meta/options.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { UserInfo } from '#shared/bus/transport.ts'
import type { Endpoint } from '../objects/endpoint.ts'

export type Operation = 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT'

/** What a plugin is asked about. `object` is in the stored form and, while mutating, may be changed. */
export interface Attributes {
  readonly operation: Operation
  readonly endpoint: Endpoint
  /** `''` for the main resource. */
  readonly subresource: string
  readonly namespace: string
  /** `''` for a create with generateName. */
  readonly name: string
  readonly object: KubeObject | undefined
  readonly old: KubeObject | undefined
  readonly user: UserInfo
  readonly dryRun: boolean
  readonly deleteOptions?: DeleteOptions
}

/** A plugin throws a StatusError to refuse. Most decide at once and return nothing. */
export interface AdmissionPlugin {
  readonly name: string
  readonly mutate?: (a: Attributes) => void | Promise<void>
  readonly validate?: (a: Attributes) => void | Promise<void>
}

export interface Admission {
  mutate(a: Attributes): Promise<void> | undefined
  validate(a: Attributes): Promise<void> | undefined
}

export function newAdmission(plugins: readonly AdmissionPlugin[]): Admission {
  const mutating = plugins.flatMap(p => (p.mutate ? [p.mutate] : []))
  const validating = plugins.flatMap(p => (p.validate ? [p.validate] : []))
  return { mutate: a => runAll(mutating, a), validate: a => runAll(validating, a) }
}

/** Runs one after the other; asynchronous only when one of them is. */
function runAll(steps: readonly ((a: Attributes) => void | Promise<void>)[], a: Attributes): Promise<void> | undefined {
  for (let i = 0; i < steps.length; i++) {
    const pending = steps[i]!(a)
    if (pending) return pending.then(() => runAll(steps.slice(i + 1), a))
  }
  return undefined
}
