/** Static pods stand for themselves: what refers to the API is none. */
import { describe, expect, test } from 'vitest'
import { staticPod } from '#node-agent/kubelet/podsource/staticpod.ts'

const manifest = (spec: object, container: object = {}): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'one' },
    spec: { containers: [{ name: 'c', image: 'busybox', ...container }], ...spec },
  })
const read = (text: string) => staticPod(text, '/manifests/one.yaml', 'node-1')
const env = (valueFrom: object) => ({ env: [{ name: 'X', valueFrom }] })
const volume = (source: object) => ({ volumes: [{ name: 'v', ...source }] })
const projected = (source: object) => volume({ projected: { sources: [source] } })

describe('a static pod', () => {
  test('of what the node itself has', () => {
    const sources = [
      { emptyDir: {} },
      { hostPath: { path: '/' } },
      { downwardAPI: { items: [] } },
      { projected: { sources: [{ downwardAPI: {} }] } },
    ]
    const volumes = sources.map((source, i) => ({ name: `v${i}`, ...source }))
    expect(read(manifest({ volumes }, env({ fieldRef: { fieldPath: 'metadata.name' } }))).metadata.name).toBe('one-node-1')
  })
  test.each([
    ['serviceaccounts', manifest({ serviceAccountName: 'default' })],
    ['secrets', manifest({ imagePullSecrets: [{ name: 's' }] })],
    ['secrets', manifest({}, env({ secretKeyRef: { name: 's', key: 'k' } }))],
    ['secrets', manifest({ initContainers: [{ name: 'i', image: 'busybox', envFrom: [{ secretRef: { name: 's' } }] }] })],
    ['secrets', manifest(projected({ secret: { name: 's' } }))],
    ['secrets', manifest(volume({ csi: { driver: 'd', nodePublishSecretRef: { name: 's' } } }))],
    ['configmaps', manifest({}, { envFrom: [{ configMapRef: { name: 'm' } }] })],
    ['configmaps', manifest(volume({ configMap: { name: 'm' } }))],
    ['resourceclaims', manifest({ resourceClaims: [{ name: 'r', resourceClaimName: 'r' }] })],
    ['csidrivers (via CSI volumes)', manifest(volume({ csi: { driver: 'd' } }))],
    ['persistentvolumeclaims', manifest(volume({ persistentVolumeClaim: { claimName: 'p' } }))],
    ['clustertrustbundles', manifest(projected({ clusterTrustBundle: { name: 'b', path: 'p' } }))],
  ])('does not refer to %s', (kind, text) => {
    expect(() => read(text)).toThrow(`static pods may not reference ${kind}`)
  })
})
