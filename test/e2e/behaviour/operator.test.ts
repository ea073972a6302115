/** The operator of examples/operator, as its README runs it. */
import { spawn, type ChildProcess } from 'node:child_process'
import path from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../../fixtures/cluster.ts'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'

const example = (file: string): string => path.resolve(import.meta.dirname, '../../../examples/operator', file)
let cluster: SharedCluster
let operator: ChildProcess | undefined
let said = ''

async function startOperator(): Promise<void> {
  said = ''
  const child = spawn(process.execPath, [example('operator.ts')], { env: { ...process.env, KUBECONFIG: cluster.kubeconfig } })
  operator = child
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (said += String(text)))
  await eventually(
    () => said.includes('the operator works') || (child.exitCode !== null && Promise.reject(new Error(said))),
    'the operator',
  )
}
async function killOperator(): Promise<void> {
  if (!operator || operator.exitCode !== null || operator.signalCode !== null) return
  const gone = new Promise(resolve => operator!.once('exit', resolve))
  operator.kill('SIGKILL')
  await gone
}

beforeAll(async () => {
  cluster = await sharedCluster()
  await cluster.kubectl('apply', '-f', example('crd.yaml'))
  await cluster.kubectl('wait', '--for=condition=Established', 'crd/websites.example.com', '--timeout=30s')
  await startOperator()
}, 120_000)
afterAll(async () => {
  await killOperator()
  if (!cluster) return
  await cluster.kubectl('delete', 'validatingwebhookconfiguration', 'websites.example.com', '--ignore-not-found')
  const finalizers = '{"metadata":{"finalizers":null}}'
  await cluster.tryKubectl('patch', 'website', 'hello', '--type=merge', '-p', finalizers)
  await cluster.kubectl('delete', 'crd', 'websites.example.com', '--ignore-not-found', '--timeout=40s')
  await cluster.stop()
}, 120_000)

const ready = (n: number): Promise<string> =>
  cluster.kubectl('wait', `--for=jsonpath={.status.readyReplicas}=${n}`, 'website/hello', '--timeout=60s')

test('of a site it makes a page that can be read, and its status says so', { timeout: 90_000 }, async () => {
  await cluster.kubectl('apply', '-f', example('sites.yaml'))
  await ready(2)
  const clusterIP = await cluster.kubectl('get', 'service', 'hello', '-o', 'jsonpath={.spec.clusterIP}')
  const page = async (): Promise<string> => (await execa('curl', ['-s', '-m', '5', `http://${clusterIP}/`], { reject: false })).stdout
  await eventually(async () => (await page()) === '<h1>Hello</h1>', 'the page')
  expect(await cluster.kubectl('get', 'websites')).toMatch(/^NAME +REPLICAS +READY\nhello +2 +2$/)
  expect(await cluster.kubectl('get', 'deployment', 'hello', '-o', 'jsonpath={.metadata.ownerReferences[0].kind}')).toBe('Website')
  await cluster.kubectl('patch', 'website', 'hello', '--type=merge', '-p', '{"spec":{"replicas":1}}')
  await ready(1)
})

test('what cannot be is refused by the schema, what must not be by the webhook', async () => {
  const patched = (spec: string) => cluster.tryKubectl('patch', 'website', 'hello', '--type=merge', '-p', `{"spec":${spec}}`)
  expect((await patched('{"replicas":11}')).stderr).toContain('spec.replicas: Invalid value: 11')
  expect((await patched('{"page":"<script>"}')).stderr).toContain(
    'admission webhook "pages.example.com" denied the request: a page must not have scripts',
  )
})

test('killed, it goes on where the world is when it is back', { timeout: 90_000 }, async () => {
  await killOperator()
  await cluster.kubectl('delete', 'deployment', 'hello', '--timeout=30s')
  await startOperator()
  await eventually(async () => (await cluster.tryKubectl('get', 'deployment', 'hello')).code === 0, 'the deployment is back')
  await ready(1)
})

test('a site that is deleted is said goodbye to, and all that belongs to it goes', { timeout: 90_000 }, async () => {
  await cluster.kubectl('delete', 'website', 'hello', '--timeout=30s')
  expect(said).toContain('goodbye')
  await eventually(
    async () => (await cluster.kubectl('get', 'deployments,services,configmaps', '-l', 'website=hello', '-o', 'name')) === '',
    'nothing is left',
  )
})
