/** /configz of the proxy: what it was told, in the fields of upstream's KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1). */
import type { Capabilities } from '../capabilities.ts'

export const proxyConfiguration = (mode: Capabilities['proxy'], o: { nodeName: string; nodeIp: string; clusterCidr: string }): object => ({
  bindAddress: o.nodeIp,
  healthzBindAddress: '0.0.0.0:10256',
  metricsBindAddress: '127.0.0.1:10249',
  enableProfiling: false,
  hostnameOverride: o.nodeName,
  clusterCIDR: o.clusterCidr,
  detectLocalMode: 'ClusterCIDR',
  mode,
  nodePortAddresses: ['primary'],
  nftables: { masqueradeBit: 14, masqueradeAll: false, minSyncPeriod: '10ms' },
})
