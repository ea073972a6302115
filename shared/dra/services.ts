/** The messages of drivers of dynamic resources, alike in v1 and v1beta1: k8s.io/kubelet/pkg/apis/dra/v1/api.proto. */
import type { Rpc } from '#shared/grpc/rpc.ts'
import { list, map, obj, opt, str, type Infer } from '#shared/machinery/schema.ts'

const claim = obj('Claim', '', () => ({ namespace: opt(1, str()), uid: opt(2, str()), name: opt(3, str()) }))
export type Claim = Infer<typeof claim>
const device = obj('Device', '', () => ({
  requestNames: opt(1, list(str())),
  poolName: opt(2, str()),
  deviceName: opt(3, str()),
  cdiDeviceIds: opt(4, list(str())),
}))
export type PreparedDevice = Infer<typeof device>
const prepared = obj('NodePrepareResourceResponse', '', () => ({ devices: opt(1, list(device)), error: opt(2, str()) }))
const unprepared = obj('NodeUnprepareResourceResponse', '', () => ({ error: opt(1, str()) }))
const request = obj('NodePrepareResourcesRequest', '', () => ({ claims: opt(1, list(claim)) }))
const prepareResponse = obj('NodePrepareResourcesResponse', '', () => ({ claims: opt(1, map(prepared)) }))
const unprepareResponse = obj('NodeUnprepareResourcesResponse', '', () => ({ claims: opt(1, map(unprepared)) }))

const service = (version: string) => {
  const rpc = <A extends Rpc['answer']>(name: string, answer: A): Rpc<typeof request, A> => ({
    path: `/k8s.io.kubelet.pkg.apis.dra.${version}.DRAPlugin/${name}`,
    question: request,
    answer,
  })
  return { prepare: rpc('NodePrepareResources', prepareResponse), unprepare: rpc('NodeUnprepareResources', unprepareResponse) }
}
export type DraService = ReturnType<typeof service>

/** By the names under which plugins say what they serve; the best first. */
export const services: { readonly [name: string]: DraService } = {
  'v1.DRAPlugin': service('v1'),
  'v1beta1.DRAPlugin': service('v1beta1'),
}
