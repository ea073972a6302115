/** Which labels a node may set on itself (k8s.io/kubelet/pkg/apis/well_known_labels.go). */

const kubeletLabels = new Set([
  'kubernetes.io/hostname',
  'kubernetes.io/os',
  'kubernetes.io/arch',
  'beta.kubernetes.io/os',
  'beta.kubernetes.io/arch',
  'beta.kubernetes.io/instance-type',
  'node.kubernetes.io/instance-type',
  'failure-domain.beta.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region',
  'topology.kubernetes.io/zone',
  'topology.kubernetes.io/region',
])
const kubeletNamespaces = ['kubelet.kubernetes.io', 'node.kubernetes.io']
const below = (namespace: string, parent: string): boolean => namespace === parent || namespace.endsWith(`.${parent}`)

function mayNotSet(label: string): boolean {
  const slash = label.indexOf('/')
  const namespace = slash < 0 ? '' : label.slice(0, slash)
  if (below(namespace, 'node-restriction.kubernetes.io')) return true
  if (!below(namespace, 'kubernetes.io') && !below(namespace, 'k8s.io')) return false
  return !kubeletLabels.has(label) && !kubeletNamespaces.some(own => below(namespace, own))
}

type Labels = Readonly<Record<string, string>> | undefined
/** Those that differ and that a node may not set, change or remove; sorted. */
export function forbiddenLabels(labels: Labels, old: Labels): string[] {
  const all = Object.keys({ ...labels, ...old })
  return all.filter(label => labels?.[label] !== old?.[label] && mayNotSet(label)).sort()
}
