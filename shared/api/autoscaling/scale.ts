/** autoscaling/v1 Scale: the body of the scale subresource of everything that has replicas. */
import { int32, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'

export const scaleSpec = obj('io.k8s.api.autoscaling.v1.ScaleSpec', 'How many replicas are wanted.', () => ({
  replicas: opt(1, int32(), { doc: 'Wanted number of replicas.', default: 0, pointer: false }),
}))
export const scaleStatus = obj('io.k8s.api.autoscaling.v1.ScaleStatus', 'How many replicas there are.', () => ({
  replicas: req(1, int32(), { doc: 'Number of replicas seen last.', default: 0 }),
  selector: opt(2, str(), { doc: 'Label selector of the replicas, as text.' }),
}))
export const scale = obj('io.k8s.api.autoscaling.v1.Scale', 'The size of a scalable object.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Metadata of the scaled object.', default: {} }),
  spec: opt(2, scaleSpec, { doc: 'The wanted size.', default: {} }),
  status: opt(3, scaleStatus, { doc: 'The size seen last.', default: {} }),
}))
export type Scale = Stored<Infer<typeof scale>>

/** How a kind with replicas serves it. */
export const scaleSubresource = { group: 'autoscaling', version: 'v1', kind: 'Scale', verbs: ['get', 'patch', 'update'] } as const
