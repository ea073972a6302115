/**
 * networking.k8s.io/v1 NetworkPolicy: which traffic reaches and leaves pods.
 * https://kubernetes.io/docs/concepts/services-networking/network-policies/
 */
import { Path } from '../../machinery/field.ts'
import { warningsForCIDR } from '../../machinery/ipwarnings.ts'
import { formatLabelSelector } from '../../machinery/labels.ts'
import { int32, intOrString, list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { networkPolicies } from '../kinds.ts'
import { labelSelector } from '../meta/labelselector.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { validateNetworkPolicy } from './networkpolicyvalidation.ts'

const networkPolicySchema = obj(
  'io.k8s.api.networking.v1.NetworkPolicy',
  'Which traffic reaches and leaves the pods that it selects.',
  () => ({
    ...typeMeta(),
    metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
    spec: opt(2, networkPolicySpec, { doc: 'What is allowed.', default: {} }),
  }),
)
export type NetworkPolicy = Stored<Infer<typeof networkPolicySchema>>
const networkPolicySpec = obj('io.k8s.api.networking.v1.NetworkPolicySpec', 'What a policy allows the pods that it selects.', () => ({
  podSelector: opt(1, labelSelector, { doc: 'The pods, in its namespace, that it is for; an empty selector means all.', default: {} }),
  ingress: opt(2, list(networkPolicyIngressRule), {
    doc: 'What may come in; all that any policy for a pod allows is allowed.',
    listType: 'atomic',
  }),
  egress: opt(3, list(networkPolicyEgressRule), { doc: 'What may go out.', listType: 'atomic' }),
  policyTypes: opt(4, list(str(['Egress', 'Ingress'])), {
    doc: 'Whether it restricts what comes in, what goes out or both.',
    listType: 'atomic',
  }),
}))
export type NetworkPolicySpec = Infer<typeof networkPolicySpec>
const networkPolicyIngressRule = obj(
  'io.k8s.api.networking.v1.NetworkPolicyIngressRule',
  'Traffic that may come in: from any of the peers to any of the ports.',
  () => ({
    ports: opt(1, list(networkPolicyPort), { doc: 'Ports that may be reached; all when empty.', listType: 'atomic' }),
    from: opt(2, list(networkPolicyPeer), { doc: 'Who may reach them; everybody when empty.', listType: 'atomic' }),
  }),
)
const networkPolicyPort = obj('io.k8s.api.networking.v1.NetworkPolicyPort', 'A port, or a range of ports, of one protocol.', () => ({
  protocol: opt(1, str(), { doc: 'TCP, UDP or SCTP; TCP when absent.', pointer: true }),
  port: opt(2, intOrString(), { doc: 'Number or name of the port; all when absent.' }),
  endPort: opt(3, int32(), { doc: 'Last port of a range that starts at port.' }),
}))
export type NetworkPolicyPort = Infer<typeof networkPolicyPort>
const networkPolicyPeer = obj(
  'io.k8s.api.networking.v1.NetworkPolicyPeer',
  'Whom traffic comes from or goes to: pods, or a block of addresses.',
  () => ({
    podSelector: opt(1, labelSelector, { doc: 'Pods, in the namespaces that are selected or else in its own.' }),
    namespaceSelector: opt(2, labelSelector, { doc: 'Namespaces whose pods are meant.' }),
    ipBlock: opt(3, ipBlock, { doc: 'Addresses; excludes the other two.' }),
  }),
)
export type NetworkPolicyPeer = Infer<typeof networkPolicyPeer>
const ipBlock = obj('io.k8s.api.networking.v1.IPBlock', 'A range of addresses with ranges that are left out.', () => ({
  cidr: req(1, str(), { doc: 'The range, such as 192.168.1.0/24.', default: '' }),
  except: opt(2, list(str()), { doc: 'Ranges in it that do not count.', listType: 'atomic' }),
}))
export type IPBlock = Infer<typeof ipBlock>
const networkPolicyEgressRule = obj(
  'io.k8s.api.networking.v1.NetworkPolicyEgressRule',
  'Traffic that may go out: to any of the ports of any of the peers.',
  () => ({
    ports: opt(1, list(networkPolicyPort), { doc: 'Ports that may be reached; all when empty.', listType: 'atomic' }),
    to: opt(2, list(networkPolicyPeer), { doc: 'Where traffic may go; anywhere when empty.', listType: 'atomic' }),
  }),
)

export const networkPolicy = resource<NetworkPolicy>({
  ...networkPolicies,
  schema: networkPolicySchema,
  singular: 'networkpolicy',
  shortNames: ['netpol'],
  hasGeneration: true,
  columns: [
    nameColumn,
    { name: 'Pod-Selector', type: 'string', doc: 'The pods that it is for', cell: p => formatLabelSelector(p.spec.podSelector) },
    ageColumn,
  ],
  defaults: ({ spec }) => {
    spec.policyTypes = spec.policyTypes?.length ? spec.policyTypes : spec.egress?.length ? ['Ingress', 'Egress'] : ['Ingress']
    for (const rule of [...(spec.ingress ?? []), ...(spec.egress ?? [])]) for (const port of rule.ports ?? []) port.protocol ??= 'TCP'
  },
  validate: (p, at) => validateNetworkPolicy(p.spec, at.child('spec')),
  warnings: warningsForBlocks,
})

function warningsForBlocks({ spec }: NetworkPolicy): string[] {
  const at = new Path('spec')
  const warn = (peers: readonly NetworkPolicyPeer[] | undefined, path: Path): string[] =>
    (peers ?? []).flatMap(({ ipBlock: block }, i) => {
      if (!block) return []
      const here = path.index(i).child('ipBlock')
      return [
        ...warningsForCIDR(block.cidr, here.child('cidr')),
        ...(block.except ?? []).flatMap((range, j) => warningsForCIDR(range, here.child('except').index(j))),
      ]
    })
  return [
    ...(spec.ingress ?? []).flatMap((rule, i) => warn(rule.from, at.child('ingress').index(i).child('from'))),
    ...(spec.egress ?? []).flatMap((rule, i) => warn(rule.to, at.child('egress').index(i).child('to'))),
  ]
}
