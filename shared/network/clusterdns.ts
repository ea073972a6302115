/** The Service `kube-dns`, which node-agents' kubelets tell pods of, and where each node answers for it. */

export const clusterDnsNamespace = 'kube-system'
export const clusterDnsName = 'kube-dns'
/** On the node's own address, UDP and TCP. */
export const clusterDnsPort = 10_053
