/** An aggregated API server as pods behind a Service, with delegated authentication and authorization. */
import { build } from 'esbuild'
import { execa } from 'execa'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeAuthority, sign } from '#shared/certificates/certificate.ts'
import { group, version } from '../../fixtures/aggregated/documents.ts'
import { eventually } from '../../fixtures/cluster.ts'
import { runTool } from '../../fixtures/kubectl.ts'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'

let cluster: SharedCluster
const name = `${version}.${group}`
const flunders = (namespace: string): string => `/apis/${group}/${version}/namespaces/${namespace}/flunders`
const clusterScoped = ['apiservice', 'clusterrolebinding', 'clusterrole'] as const

beforeAll(async () => {
  cluster = await sharedCluster()
}, 120_000)
afterAll(async () => {
  if (!cluster) return
  await cluster.kubectl('delete', 'apiservice', name, '--ignore-not-found')
  for (const kind of clusterScoped.slice(1)) await cluster.kubectl('delete', kind, `wardle-${cluster.namespace}`, '--ignore-not-found')
  await cluster.kubectl('delete', 'rolebinding', '-n', 'kube-system', `wardle-${cluster.namespace}`, '--ignore-not-found')
  await cluster.stop()
}, 120_000)

async function create(manifest: string): Promise<string> {
  const ran = await runTool('kubectl', cluster.kubeconfig, ['create', '-f', '-'], { input: manifest })
  expect(ran.code, ran.stderr).toBe(0)
  return ran.stdout
}
const available = () =>
  eventually(async () => (await cluster.kubectl('get', 'apiservice', name)).includes('True'), 'it is available').catch(async (e: Error) => {
    throw new Error(`${e.message}\n${await cluster.kubectl('get', 'apiservice', name, '-o', 'yaml')}`)
  })

test('it is reached through the API server, knows who asks, and lets the cluster decide', async () => {
  const { namespace } = cluster
  const ca = makeAuthority()
  const pair = sign(ca, { commonName: 'wardle', names: { dns: [`wardle.${namespace}.svc`], ips: [] } })
  const { outputFiles } = await build({
    entryPoints: [path.resolve(import.meta.dirname, '../../fixtures/aggregated/main.ts')],
    bundle: true,
    platform: 'node',
    format: 'esm',
    minify: true,
    write: false,
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)" },
  })
  const account = { kind: 'ServiceAccount', name: 'default', namespace }
  const to = (roleRef: object, subjects: object[] = [account]) => ({
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', ...roleRef },
    subjects,
  })
  const rbac = 'rbac.authorization.k8s.io/v1'
  const items = [
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'tls' },
      type: 'kubernetes.io/tls',
      stringData: { 'tls.crt': pair.cert, 'tls.key': pair.key },
    },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'app' }, data: { 'main.mjs': outputFiles[0]!.text } },
    {
      apiVersion: rbac,
      kind: 'RoleBinding',
      metadata: { name: `wardle-${namespace}`, namespace: 'kube-system' },
      ...to({ kind: 'Role', name: 'extension-apiserver-authentication-reader' }),
    },
    {
      apiVersion: rbac,
      kind: 'ClusterRoleBinding',
      metadata: { name: `wardle-${namespace}` },
      ...to({ kind: 'ClusterRole', name: 'system:auth-delegator' }),
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'wardle' },
      spec: {
        replicas: 1,
        selector: { matchLabels: { app: 'wardle' } },
        template: {
          metadata: { labels: { app: 'wardle' } },
          spec: {
            terminationGracePeriodSeconds: 1,
            containers: [
              {
                name: 'server',
                image: 'node',
                command: ['node', '/app/main.mjs'],
                readinessProbe: { tcpSocket: { port: 8443 }, periodSeconds: 1 },
                volumeMounts: [
                  { name: 'app', mountPath: '/app' },
                  { name: 'tls', mountPath: '/tls' },
                ],
              },
            ],
            volumes: [
              { name: 'app', configMap: { name: 'app' } },
              { name: 'tls', secret: { secretName: 'tls' } },
            ],
          },
        },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'wardle' },
      spec: { selector: { app: 'wardle' }, ports: [{ port: 443, targetPort: 8443 }] },
    },
    {
      apiVersion: 'apiregistration.k8s.io/v1',
      kind: 'APIService',
      metadata: { name },
      spec: {
        group,
        version,
        service: { namespace, name: 'wardle' },
        caBundle: Buffer.from(ca.cert).toString('base64'),
        groupPriorityMinimum: 2000,
        versionPriority: 200,
      },
    },
  ]
  // Too large for the annotation of a client-side apply.
  const manifest = JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
  expect(await create(manifest)).toContain('apiservice.apiregistration.k8s.io')
  await available()

  const flunder = JSON.stringify({
    apiVersion: `${group}/${version}`,
    kind: 'Flunder',
    metadata: { name: 'one' },
    spec: { reference: 'x' },
  })
  await eventually(async () => (await cluster.kubectl('api-resources', '--api-group', group)).includes('flunders'), 'discovery')
  await create(flunder)
  expect(await cluster.kubectl('get', 'fl', '-o', 'name')).toBe(`flunder.${group}/one`)
  expect(await cluster.kubectl('explain', 'flunder.spec')).toContain('reference')

  // Somebody who may not is refused here; what the cluster allows, the other server asks for again.
  const asJane = ['--as', 'jane', '--as-group', 'dev']
  const refused = await cluster.tryKubectl('get', 'flunders', ...asJane)
  expect(refused.stderr).toContain(`flunders.${group} is forbidden: User "jane" cannot list resource "flunders"`)
  await cluster.kubectl('create', 'clusterrole', `wardle-${namespace}`, '--verb=list,get', `--resource=flunders.${group}`)
  await cluster.kubectl('create', 'rolebinding', 'jane', `--clusterrole=wardle-${namespace}`, '--user=jane')
  expect(await cluster.kubectl('get', 'flunders', '-o', 'name', ...asJane)).toBe(`flunder.${group}/one`)
  expect(await cluster.kubectl('get', '--raw', `${flunders(namespace)}/one`)).toContain('"reference":"x"')

  // Without the API server in between, it asks the cluster whom a token is of.
  const token = (await cluster.kubectl('create', 'token', 'default')).trim()
  const ip = await cluster.kubectl('get', 'pod', '-l', 'app=wardle', '-o', 'jsonpath={.items[0].status.podIP}')
  const direct = async (...headers: string[]) => {
    const url = `https://${ip}:8443/apis/${group}/${version}/whoami`
    return (await execa('curl', ['-sk', '-m', '5', ...headers.flatMap(h => ['-H', h]), url], { timeout: 10_000 })).stdout
  }
  expect(JSON.parse(await direct(`Authorization: Bearer ${token}`))).toMatchObject({ name: `system:serviceaccount:${namespace}:default` })
  expect(JSON.parse(await direct('X-Remote-User: root', 'X-Remote-Group: system:masters'))).toMatchObject({ code: 401 })

  // Killed, it is started again, and is reached again.
  await cluster.kubectl('delete', 'pod', '-l', 'app=wardle', '--wait=false')
  await eventually(
    async () => (await cluster.tryKubectl('get', '--raw', flunders(namespace))).stdout.includes('"items":[]'),
    'the next pod, which knows nothing',
  )
  await cluster.kubectl('scale', 'deployment', 'wardle', '--replicas=0')
  await eventually(
    async () => (await cluster.kubectl('get', 'apiservice', name)).includes('False (MissingEndpoints)'),
    'it is not available',
  )
  expect((await cluster.tryKubectl('get', '--raw', flunders(namespace))).stderr).toContain('unable to handle the request')
}, 180_000)
