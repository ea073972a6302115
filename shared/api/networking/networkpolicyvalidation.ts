/** Rules of networking.k8s.io/v1 NetworkPolicy (pkg/apis/networking/validation). */
import { forbidden, invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { cidrContains, parseCIDR, validateCIDR } from '../../machinery/ip.ts'
import { isPortName, isPortNumber } from '../../machinery/names.ts'
import { validateLabelSelector } from '../meta/labelselector.ts'
import type { IPBlock, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec } from './networkpolicy.ts'

const protocols = ['TCP', 'UDP', 'SCTP']
const policyTypes = ['Ingress', 'Egress']

export function validateNetworkPolicy(spec: NetworkPolicySpec, at: Path): FieldError[] {
  const errors = validateLabelSelector(spec.podSelector, {}, at.child('podSelector'))
  spec.ingress?.forEach((rule, i) => errors.push(...validateRule(rule.ports, rule.from, at.child('ingress').index(i), 'from')))
  spec.egress?.forEach((rule, i) => errors.push(...validateRule(rule.ports, rule.to, at.child('egress').index(i), 'to')))
  const types = spec.policyTypes ?? []
  const typesAt = at.child('policyTypes')
  if (types.length > policyTypes.length) return [...errors, invalid(typesAt, types, 'may not specify more than two policyTypes')]
  types.forEach((type, i) => {
    if (!policyTypes.includes(type)) errors.push(notSupported(typesAt.index(i), type, policyTypes))
  })
  return errors
}

const validateRule = (
  ports: readonly NetworkPolicyPort[] | undefined,
  peers: readonly NetworkPolicyPeer[] | undefined,
  at: Path,
  peersField: 'from' | 'to',
): FieldError[] => [
  ...(ports ?? []).flatMap((port, i) => validatePort(port, at.child('ports').index(i))),
  ...(peers ?? []).flatMap((peer, i) => validatePeer(peer, at.child(peersField).index(i))),
]

function validatePort({ protocol, port, endPort }: NetworkPolicyPort, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (protocol !== undefined && !protocols.includes(protocol)) errors.push(notSupported(at.child('protocol'), protocol, protocols))
  const [portAt, endAt] = [at.child('port'), at.child('endPort')]
  if (typeof port === 'number') {
    errors.push(...isPortNumber(port).map(m => invalid(portAt, port, m)))
    if (endPort === undefined) return errors
    if (endPort < port) errors.push(invalid(endAt, endPort, 'must be greater than or equal to `port`'))
    errors.push(...isPortNumber(endPort).map(m => invalid(endAt, endPort, m)))
  } else {
    const why = port === undefined ? 'not specified' : 'non-numeric'
    if (endPort !== undefined) errors.push(invalid(endAt, endPort, `may not be specified when \`port\` is ${why}`))
    if (port !== undefined) errors.push(...isPortName(port).map(m => invalid(portAt, port, m)))
  }
  return errors
}

function validatePeer(peer: NetworkPolicyPeer, at: Path): FieldError[] {
  const errors = [
    ...validateLabelSelector(peer.podSelector, {}, at.child('podSelector')),
    ...validateLabelSelector(peer.namespaceSelector, {}, at.child('namespaceSelector')),
  ]
  const selects = peer.podSelector !== undefined || peer.namespaceSelector !== undefined
  if (!peer.ipBlock) return selects ? errors : [required(at, 'must specify a peer')]
  errors.push(...validateIPBlock(peer.ipBlock, at.child('ipBlock')))
  if (selects) errors.push(forbidden(at, 'may not specify both ipBlock and another peer'))
  return errors
}

function validateIPBlock(block: IPBlock, at: Path): FieldError[] {
  if (!block.cidr) return [required(at.child('cidr'))]
  const errors = validateCIDR(at.child('cidr'), block.cidr)
  const range = parseCIDR(block.cidr)
  if (!range) return errors
  block.except?.forEach((text, i) => {
    const here = at.child('except').index(i)
    errors.push(...validateCIDR(here, text))
    const inner = parseCIDR(text)
    if (inner && (!cidrContains(range, text.split('/')[0]!) || range.prefix >= inner.prefix))
      errors.push(invalid(here, text, 'must be a strict subset of `cidr`'))
  })
  return errors
}
