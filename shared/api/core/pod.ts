/** Pod. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { obj, opt, type Infer } from '../../machinery/schema.ts'
import { pods } from '../kinds.ts'
import { objectMeta, type Stored, typeMeta } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { podSpec } from './podspec/podspec.ts'
import { podStatus } from './podspec/podstatus.ts'

export const podSchema = obj('io.k8s.api.core.v1.Pod', '', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { default: {} }),
  spec: opt(2, podSpec, { default: {} }),
  status: opt(3, podStatus, { default: {} }),
}))
export type Pod = Stored<Infer<typeof podSchema>>

export const pod = resource<Pod>({
  ...pods,
  schema: podSchema,
  singular: 'pod',
  shortNames: ['po'],
  categories: ['all'],
  indexed: ['spec.nodeName'],
  hasStatus: true,
  hasGeneration: true,
})
