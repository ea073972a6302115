/**
 * An admission webhook that runs in pods behind a Service, as people run them: its certificate in a Secret, its authority in the
 * configuration.
 */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeAuthority, sign } from '#shared/certificates/certificate.ts'
import { eventually } from '../../fixtures/cluster.ts'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'

let cluster: SharedCluster
let ca: Awaited<ReturnType<typeof makeAuthority>>
const base64 = (text: string): string => Buffer.from(text).toString('base64')
const name = (): string => `hook-${cluster.namespace}`

beforeAll(async () => {
  cluster = await sharedCluster()
  ca = await makeAuthority()
}, 120_000)
afterAll(async () => {
  if (!cluster) return
  await cluster.kubectl('delete', 'validatingwebhookconfiguration,mutatingwebhookconfiguration', name(), '--ignore-not-found')
  await cluster.stop()
}, 60_000)

const deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'hook' },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: 'hook' } },
    template: {
      metadata: { labels: { app: 'hook' } },
      spec: {
        containers: [
          {
            name: 'hook',
            image: 'node',
            command: ['node', '/app/hook.mjs'],
            env: [{ name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
            ports: [{ name: 'https', containerPort: 8443 }],
            readinessProbe: { httpGet: { path: '/', port: 'https', scheme: 'HTTPS' }, periodSeconds: 1 },
            volumeMounts: [
              { name: 'app', mountPath: '/app' },
              { name: 'tls', mountPath: '/tls' },
            ],
          },
        ],
        volumes: [
          { name: 'app', configMap: { name: 'hook-app' } },
          { name: 'tls', secret: { secretName: 'hook-tls' } },
        ],
      },
    },
  },
}
const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'hook' },
  spec: { selector: { app: 'hook' }, ports: [{ port: 443, targetPort: 'https' }] },
}
const configuration = (kind: string, at: string) => ({
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: `${kind}WebhookConfiguration`,
  metadata: { name: name() },
  webhooks: [
    {
      name: 'hook.example.com',
      clientConfig: { service: { namespace: cluster.namespace, name: 'hook', path: at }, caBundle: base64(ca.cert) },
      rules: [{ operations: ['CREATE', 'UPDATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }],
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': cluster.namespace } },
      objectSelector: { matchLabels: { hooked: 'yes' } },
      sideEffects: 'None',
      admissionReviewVersions: ['v1'],
      timeoutSeconds: 5,
    },
  ],
})
const configMap = (name: string, data: Record<string, string> = {}) =>
  JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels: { hooked: 'yes' } }, data: { a: '1', ...data } })
const apply = (manifest: object): Promise<string> => cluster.apply(JSON.stringify(manifest))

test('pods behind a Service judge and change what is written', async () => {
  const pair = await sign(ca, { commonName: 'hook', names: { dns: [`hook.${cluster.namespace}.svc`], ips: [] } })
  const program = await readFile(path.resolve(import.meta.dirname, '../../fixtures/webhook-pod.mjs'), 'utf8')
  await apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'hook-app' }, data: { 'hook.mjs': program } })
  const tls = { 'tls.crt': base64(pair.cert), 'tls.key': base64(pair.key) }
  await apply({ apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls', metadata: { name: 'hook-tls' }, data: tls })
  await apply(deployment)
  await apply(service)
  await cluster.kubectl('rollout', 'status', 'deployment/hook', '--timeout=90s')
  await apply(configuration('Mutating', '/change'))
  await apply(configuration('Validating', '/check'))

  await cluster.apply(configMap('good'))
  expect(JSON.parse(await cluster.kubectl('get', 'configmap', 'good', '-o', 'json')).data).toEqual({
    a: '1',
    seen: expect.stringMatching(/^hook-.* CREATE$/),
  })
  const denied = await cluster.tryKubectl('create', 'configmap', 'unlabelled', '--from-literal=deny=me')
  expect(denied.code).toBe(0)
  await cluster.apply(configMap('other'))
  const refused = await cluster.tryKubectl('patch', 'configmap', 'other', '-p', '{"data":{"deny":"not so"}}')
  expect(refused.code).toBe(1)
  expect(refused.stderr).toContain('admission webhook "hook.example.com" denied the request: not so')
  expect((await cluster.tryKubectl('annotate', 'configmap', 'other', 'x=y')).stderr).toContain('Warning: looked at')
}, 180_000)

test('while its pods are replaced it goes on judging; without any, nothing is written', async () => {
  await cluster.kubectl('rollout', 'restart', 'deployment/hook')
  const restarted = cluster.kubectl('rollout', 'status', 'deployment/hook', '--timeout=90s')
  let over = false
  void restarted.finally(() => (over = true)).catch(() => {})
  for (let i = 0; !over; i++) await cluster.kubectl('annotate', 'configmap', 'good', `n=${i}`, '--overwrite')
  await restarted

  await cluster.kubectl('scale', 'deployment/hook', '--replicas=0')
  await eventually(async () => {
    const { code, stderr } = await cluster.tryKubectl('annotate', 'configmap', 'good', 'x=y', '--overwrite')
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /Internal error occurred: failed calling webhook "hook.example.com": failed to call webhook: Post "https:\/\/hook\.\S+\.svc:443\/change\?timeout=5s": no endpoints available for service "hook"/,
    )
    return true
  }, 'a write is refused for want of endpoints')
  // What it is not asked about goes on.
  await cluster.kubectl('annotate', 'configmap', 'unlabelled', 'x=y')
  await cluster.kubectl('scale', 'deployment/hook', '--replicas=1')
  await cluster.kubectl('rollout', 'status', 'deployment/hook', '--timeout=90s')
  const write = async () => (await cluster.tryKubectl('annotate', 'configmap', 'good', 'x=z', '--overwrite')).code === 0
  await eventually(write, 'a write goes through again')
}, 180_000)
