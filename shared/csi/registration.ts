/** The messages of plugin registration: k8s.io/kubelet/pkg/apis/pluginregistration/v1/api.proto. */
import type { Rpc } from '../grpc/rpc.ts'
import { bool, list, obj, opt, str, type Infer } from '../machinery/schema.ts'

const infoRequest = obj('InfoRequest', '', () => ({}))
export const pluginInfo = obj('PluginInfo', '', () => ({
  type: opt(1, str()),
  name: opt(2, str()),
  endpoint: opt(3, str()),
  supportedVersions: opt(4, list(str())),
}))
export type PluginInfo = Infer<typeof pluginInfo>
const registrationStatus = obj('RegistrationStatus', '', () => ({ pluginRegistered: opt(1, bool()), error: opt(2, str()) }))
const registrationStatusResponse = obj('RegistrationStatusResponse', '', () => ({}))

const rpc = <Q extends Rpc['question'], A extends Rpc['answer']>(name: string, question: Q, answer: A): Rpc<Q, A> => ({
  path: `/pluginregistration.Registration/${name}`,
  question,
  answer,
})
export const getInfo = rpc('GetInfo', infoRequest, pluginInfo)
export const notifyRegistrationStatus = rpc('NotifyRegistrationStatus', registrationStatus, registrationStatusResponse)
