/** The Service `kube-dns`, which node-agents' kubelets tell pods of, and where each node answers for it. */

export const clusterDnsNamespace = 'kube-system'
export const clusterDnsName = 'kube-dns'
/** On the node's own address, UDP and TCP. */
export const clusterDnsPort = 10_053
/** Nodes that answer carry it: those whose pods have networks of their own. */
export const clusterDnsNodeLabel = { name: 'coxswain.io/network', value: 'bridge' } as const
