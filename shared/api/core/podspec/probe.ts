/** Probes, lifecycle hooks and the actions they take. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { inline, int32, int64, intOrString, list, obj, opt, req, str, type Infer } from '../../../machinery/schema.ts'

export const probe = obj('io.k8s.api.core.v1.Probe', 'A check that is made again and again.', () => ({
  ...inline(1, probeHandler),
  initialDelaySeconds: opt(2, int32(), { doc: 'Seconds after start before the first check.', pointer: false }),
  timeoutSeconds: opt(3, int32(), { doc: 'Seconds after which a check has failed.', default: 1, pointer: false }),
  periodSeconds: opt(4, int32(), { doc: 'Seconds between checks.', default: 10, pointer: false }),
  successThreshold: opt(5, int32(), { doc: 'Successes in a row that make it good again.', default: 1, pointer: false }),
  failureThreshold: opt(6, int32(), { doc: 'Failures in a row that make it bad.', default: 3, pointer: false }),
  terminationGracePeriodSeconds: opt(7, int64(), { doc: "Grace when the check kills the container, instead of the pod's." }),
}))
export type Probe = Infer<typeof probe>

export const probeHandler = obj('io.k8s.api.core.v1.ProbeHandler', 'The action of a check; one of them.', () => ({
  exec: opt(1, execAction, { doc: 'Runs a command in the container.' }),
  httpGet: opt(2, httpGetAction, { doc: 'Sends an HTTP GET request.' }),
  tcpSocket: opt(3, tcpSocketAction, { doc: 'Opens a TCP connection.' }),
  grpc: opt(4, grpcAction, { doc: 'Asks the gRPC health service.' }),
}))
export type ProbeHandler = Infer<typeof probeHandler>

export const execAction = obj('io.k8s.api.core.v1.ExecAction', 'A command run in the container.', () => ({
  command: opt(1, list(str()), { doc: 'Program and arguments, without a shell; exit code 0 is success.' }),
}))
export type ExecAction = Infer<typeof execAction>

export const httpGetAction = obj('io.k8s.api.core.v1.HTTPGetAction', 'An HTTP GET request; 200 to 399 is success.', () => ({
  path: opt(1, str(), { doc: 'Path of the request.', default: '/' }),
  port: req(2, intOrString(), { doc: 'Port number, or name of a container port.' }),
  host: opt(3, str(), { doc: 'Host to connect to; the pod itself when empty.' }),
  scheme: opt(4, str(['HTTP', 'HTTPS']), { doc: 'HTTP or HTTPS.', default: 'HTTP' }),
  httpHeaders: opt(5, list(httpHeader), { doc: 'Headers to send.' }),
}))
export type HTTPGetAction = Infer<typeof httpGetAction>

export const httpHeader = obj('io.k8s.api.core.v1.HTTPHeader', 'A header of an HTTP request.', () => ({
  name: req(1, str(), { doc: 'Name of the header.' }),
  value: req(2, str(), { doc: 'Its value.' }),
}))
export type HTTPHeader = Infer<typeof httpHeader>

export const tcpSocketAction = obj('io.k8s.api.core.v1.TCPSocketAction', 'A connection; that it opens is success.', () => ({
  port: req(1, intOrString(), { doc: 'Port number, or name of a container port.' }),
  host: opt(2, str(), { doc: 'Host to connect to; the pod itself when empty.' }),
}))
export type TCPSocketAction = Infer<typeof tcpSocketAction>

export const grpcAction = obj('io.k8s.api.core.v1.GRPCAction', 'A gRPC health check.', () => ({
  port: req(1, int32(), { doc: 'Port number.' }),
  service: opt(2, str(), { doc: 'Service to ask about.', default: '', pointer: true }),
}))
export type GRPCAction = Infer<typeof grpcAction>

export const sleepAction = obj('io.k8s.api.core.v1.SleepAction', 'A pause.', () => ({
  seconds: req(1, int64(), { doc: 'How many seconds.' }),
}))
export type SleepAction = Infer<typeof sleepAction>

export const lifecycle = obj('io.k8s.api.core.v1.Lifecycle', 'Actions around the life of a container.', () => ({
  postStart: opt(1, lifecycleHandler, { doc: 'Runs right after start; the container is killed when it fails.' }),
  preStop: opt(2, lifecycleHandler, { doc: 'Runs before the container is told to stop, within the grace period.' }),
  stopSignal: opt(3, str(), { doc: "Signal that asks it to stop, instead of the image's.", pointer: true }),
}))
export type Lifecycle = Infer<typeof lifecycle>

export const lifecycleHandler = obj('io.k8s.api.core.v1.LifecycleHandler', 'The action; one of them.', () => ({
  exec: opt(1, execAction, { doc: 'Runs a command in the container.' }),
  httpGet: opt(2, httpGetAction, { doc: 'Sends an HTTP GET request.' }),
  tcpSocket: opt(3, tcpSocketAction, { doc: 'Opens a TCP connection.' }),
  sleep: opt(4, sleepAction, { doc: 'Waits.' }),
}))
export type LifecycleHandler = Infer<typeof lifecycleHandler>
