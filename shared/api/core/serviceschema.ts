/** The schema of core/v1 Service. */
import { bool, int32, intOrString, list, map, obj, opt, req, str } from '../../machinery/schema.ts'
import { condition } from '../meta/condition.ts'
import { objectMeta, typeMeta } from '../meta/objectmeta.ts'

const servicePort = obj('io.k8s.api.core.v1.ServicePort', 'One port of a service.', () => ({
  name: opt(1, str(), { doc: 'Its name; needed when there are several.' }),
  protocol: opt(2, str(['SCTP', 'TCP', 'UDP']), { doc: 'TCP, UDP or SCTP.', default: 'TCP' }),
  appProtocol: opt(6, str(), { doc: 'A hint at the protocol that is spoken.', pointer: true }),
  port: req(3, int32(), { doc: 'The port of the service.', default: 0 }),
  targetPort: opt(4, intOrString(), { doc: 'Port of the pods, a number or the name of a container port; the same as port when absent.' }),
  nodePort: opt(5, int32(), { doc: 'The port on every node, for NodePort and LoadBalancer.', pointer: false }),
}))
const clientIPConfig = obj('io.k8s.api.core.v1.ClientIPConfig', 'Settings of ClientIP affinity.', () => ({
  timeoutSeconds: opt(1, int32(), { doc: 'How long a client stays with its pod, from 1 to 86400.' }),
}))
const sessionAffinityConfig = obj('io.k8s.api.core.v1.SessionAffinityConfig', 'Settings of session affinity.', () => ({
  clientIP: opt(1, clientIPConfig, { doc: 'For ClientIP.' }),
}))

const serviceSpec = obj('io.k8s.api.core.v1.ServiceSpec', 'Which pods a service stands for, and where it listens.', () => ({
  ports: opt(1, list(servicePort), {
    doc: 'Its ports.',
    listType: 'map',
    listMapKeys: ['port', 'protocol'],
    mergeKey: 'port',
    patchStrategy: 'merge',
  }),
  selector: opt(2, map(str()), { doc: 'Labels of its pods; without it somebody else manages the endpoints.', mapType: 'atomic' }),
  clusterIP: opt(3, str(), { doc: 'Its virtual address; None for a headless service; allocated when empty.' }),
  clusterIPs: opt(18, list(str()), { doc: 'Its addresses for each IP family; the first is clusterIP.', listType: 'atomic' }),
  type: opt(4, str(['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort']), {
    doc: 'Who can reach it: ClusterIP, NodePort, LoadBalancer or ExternalName.',
  }),
  externalIPs: opt(5, list(str()), { doc: 'Further addresses at which nodes accept its traffic.', listType: 'atomic' }),
  sessionAffinity: opt(7, str(['ClientIP', 'None']), { doc: 'ClientIP keeps a client with one pod.' }),
  loadBalancerIP: opt(8, str(), { doc: 'Wanted address of the load balancer; deprecated.' }),
  loadBalancerSourceRanges: opt(9, list(str()), { doc: 'Clients that the load balancer lets in.', listType: 'atomic' }),
  externalName: opt(10, str(), { doc: 'The DNS name that an ExternalName service stands for.' }),
  externalTrafficPolicy: opt(11, str(['Cluster', 'Local']), { doc: 'Local keeps traffic from outside on the node that it reached.' }),
  healthCheckNodePort: opt(12, int32(), {
    doc: 'Where nodes tell a load balancer whether they have endpoints, with Local.',
    pointer: false,
  }),
  publishNotReadyAddresses: opt(13, bool(), { doc: 'Treat all endpoints as ready.', pointer: false }),
  sessionAffinityConfig: opt(14, sessionAffinityConfig, { doc: 'Settings of session affinity.' }),
  ipFamilies: opt(19, list(str(['', 'IPv4', 'IPv6'])), { doc: 'The families of its addresses, in order.', listType: 'atomic' }),
  ipFamilyPolicy: opt(17, str(['PreferDualStack', 'RequireDualStack', 'SingleStack']), { doc: 'One family or two.', pointer: true }),
  allocateLoadBalancerNodePorts: opt(20, bool(), { doc: 'Whether a LoadBalancer gets node ports.' }),
  loadBalancerClass: opt(21, str(), { doc: 'Which load balancer implementation serves it.', pointer: true }),
  internalTrafficPolicy: opt(22, str(['Cluster', 'Local']), { doc: 'Local keeps traffic from inside on its node.', pointer: true }),
  trafficDistribution: opt(23, str(), { doc: 'Preference among endpoints: PreferSameZone, PreferSameNode or PreferClose.', pointer: true }),
}))

const portStatus = obj('io.k8s.api.core.v1.PortStatus', 'How one port of a load balancer is.', () => ({
  port: req(1, int32(), { doc: 'The port.', default: 0 }),
  protocol: req(2, str(['SCTP', 'TCP', 'UDP']), { doc: 'Its protocol.', default: '' }),
  error: opt(3, str(), { doc: 'What is wrong with it, one word.', pointer: true }),
}))
export const loadBalancerIngress = obj('io.k8s.api.core.v1.LoadBalancerIngress', 'One address of a load balancer.', () => ({
  ip: opt(1, str(), { doc: 'The address.' }),
  hostname: opt(2, str(), { doc: 'The host name.' }),
  ipMode: opt(3, str(), { doc: 'VIP: packets arrive with this address; Proxy: with that of the node or pod.', pointer: true }),
  ports: opt(4, list(portStatus), { doc: 'How its ports are.', listType: 'atomic' }),
}))
const loadBalancerStatus = obj('io.k8s.api.core.v1.LoadBalancerStatus', 'How a load balancer is.', () => ({
  ingress: opt(1, list(loadBalancerIngress), { doc: 'Where it listens.', listType: 'atomic' }),
}))
const serviceStatus = obj('io.k8s.api.core.v1.ServiceStatus', 'How a service is.', () => ({
  loadBalancer: opt(1, loadBalancerStatus, { doc: 'How its load balancer is.', default: {} }),
  conditions: opt(2, list(condition), {
    doc: 'How it is otherwise.',
    listType: 'map',
    listMapKeys: ['type'],
    mergeKey: 'type',
    patchStrategy: 'merge',
  }),
}))

export const serviceSchema = obj('io.k8s.api.core.v1.Service', 'A stable address for a changing set of pods.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, serviceSpec, { doc: 'Which pods it stands for, and where it listens.', default: {} }),
  status: opt(3, serviceStatus, { doc: 'How it is.', default: {} }),
}))
