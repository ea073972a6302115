/** What making and keeping the objects of every cluster needs. */
import type { Logger } from '#shared/component/log.ts'
import type { ApiServerOptions } from '../options.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import type { Store } from '../objects/store.ts'

export interface BootstrapParts {
  readonly store: Store
  readonly endpoints: ReadonlyMap<string, Endpoint>
  readonly options: ApiServerOptions
  /** Where HTTPS is served. */
  readonly port: number
  readonly log: Logger
}
