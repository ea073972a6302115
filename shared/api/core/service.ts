/** core/v1 Service: a stable address for a set of pods. https://kubernetes.io/docs/concepts/services-networking/service/ */
import type { Infer } from '../../machinery/schema.ts'
import { services } from '../kinds.ts'
import type { Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { serviceSchema } from './serviceschema.ts'

export type Service = Stored<Infer<typeof serviceSchema>>
export type ServiceSpec = Service['spec']
export type ServicePort = NonNullable<ServiceSpec['ports']>[number]

export const service = resource<Service>({
  ...services,
  schema: serviceSchema,
  singular: 'service',
  shortNames: ['svc'],
  categories: ['all'],
  hasStatus: true,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
})
