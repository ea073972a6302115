/** Probes, lifecycle hooks and the actions they take. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { inline, int32, int64, intOrString, list, obj, opt, req, str, type Infer } from '../../../machinery/schema.ts'

export const probe = obj('io.k8s.api.core.v1.Probe', '', () => ({
  ...inline(1, probeHandler),
  initialDelaySeconds: opt(2, int32(), { pointer: false }),
  timeoutSeconds: opt(3, int32(), { default: 1, pointer: false }),
  periodSeconds: opt(4, int32(), { default: 10, pointer: false }),
  successThreshold: opt(5, int32(), { default: 1, pointer: false }),
  failureThreshold: opt(6, int32(), { default: 3, pointer: false }),
  terminationGracePeriodSeconds: opt(7, int64()),
}))
export type Probe = Infer<typeof probe>

export const probeHandler = obj('io.k8s.api.core.v1.ProbeHandler', '', () => ({
  exec: opt(1, execAction),
  httpGet: opt(2, httpGetAction),
  tcpSocket: opt(3, tcpSocketAction),
  grpc: opt(4, grpcAction),
}))
export type ProbeHandler = Infer<typeof probeHandler>

export const execAction = obj('io.k8s.api.core.v1.ExecAction', '', () => ({
  command: opt(1, list(str())),
}))
export type ExecAction = Infer<typeof execAction>

export const httpGetAction = obj('io.k8s.api.core.v1.HTTPGetAction', '', () => ({
  path: opt(1, str(), { default: '/' }),
  port: req(2, intOrString()),
  host: opt(3, str()),
  scheme: opt(4, str(['HTTP', 'HTTPS']), { default: 'HTTP' }),
  httpHeaders: opt(5, list(httpHeader)),
}))
export type HTTPGetAction = Infer<typeof httpGetAction>

export const httpHeader = obj('io.k8s.api.core.v1.HTTPHeader', '', () => ({
  name: req(1, str()),
  value: req(2, str()),
}))
export type HTTPHeader = Infer<typeof httpHeader>

export const tcpSocketAction = obj('io.k8s.api.core.v1.TCPSocketAction', '', () => ({
  port: req(1, intOrString()),
  host: opt(2, str()),
}))
export type TCPSocketAction = Infer<typeof tcpSocketAction>

export const grpcAction = obj('io.k8s.api.core.v1.GRPCAction', '', () => ({
  port: req(1, int32()),
  service: opt(2, str(), { default: '', pointer: true }),
}))
export type GRPCAction = Infer<typeof grpcAction>

export const sleepAction = obj('io.k8s.api.core.v1.SleepAction', '', () => ({
  seconds: req(1, int64()),
}))
export type SleepAction = Infer<typeof sleepAction>

export const lifecycle = obj('io.k8s.api.core.v1.Lifecycle', '', () => ({
  postStart: opt(1, lifecycleHandler),
  preStop: opt(2, lifecycleHandler),
  stopSignal: opt(3, str(), { pointer: true }),
}))
export type Lifecycle = Infer<typeof lifecycle>

export const lifecycleHandler = obj('io.k8s.api.core.v1.LifecycleHandler', '', () => ({
  exec: opt(1, execAction),
  httpGet: opt(2, httpGetAction),
  tcpSocket: opt(3, tcpSocketAction),
  sleep: opt(4, sleepAction),
}))
export type LifecycleHandler = Infer<typeof lifecycleHandler>
