/** `cox up` with a credential provider: its nodes know the passwords of registries, and a later start still has it. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCox, startCluster, type ClusterFixture } from '../fixtures/cluster.ts'
import { busyboxLayer } from '../fixtures/images.ts'
import { jane, pushImage, startRegistry, type TestRegistry } from '../fixtures/registry.ts'

let directory: string
let cluster: ClusterFixture
let registry: TestRegistry
beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'credential-provider-'))
  registry = await startRegistry({ password: true })
  for (const name of ['app', 'account'])
    await pushImage(registry, `secret/${name}`, '1', { layers: [busyboxLayer()], config: { Env: ['PATH=/bin'], Cmd: ['sleep', '1000'] } })
  const version = 'credentialprovider.kubelet.k8s.io/v1'
  const providerOf = (name: string, image: string, more: object = {}) => {
    return { name, matchImages: [`${registry.host}/secret/${image}`], defaultCacheDuration: '1m', apiVersion: version, ...more }
  }
  const tokenAttributes = { serviceAccountTokenAudience: 'registry', cacheType: 'ServiceAccount', requireServiceAccount: true }
  const providers = [providerOf('known', 'app'), providerOf('account', 'account', { tokenAttributes })]
  const [file, programs] = ['config.yaml', 'bin'].map(name => path.join(directory, name)) as [string, string]
  await writeFile(file, JSON.stringify({ kind: 'CredentialProviderConfig', apiVersion: 'kubelet.config.k8s.io/v1', providers }))
  const answer = { kind: 'CredentialProviderResponse', apiVersion: version, cacheKeyType: 'Registry', auth: { [registry.host]: jane } }
  await mkdir(programs)
  const script = (check: string) => `#!/bin/sh\n${check}\necho '${JSON.stringify(answer)}'\n`
  await writeFile(path.join(programs, 'known'), script('cat >/dev/null'), { mode: 0o755 })
  await writeFile(path.join(programs, 'account'), script('grep -q serviceAccountToken || exit 1'), { mode: 0o755 })
  const flags = ['--image-credential-provider-config', file, '--image-credential-provider-bin-dir', programs]
  cluster = await startCluster({ nodes: 1, flags })
  // Later starts name neither.
  flags.length = 0
}, 150_000)
afterAll(async () => {
  await cluster?.stop()
  await registry?.close()
  await rm(directory, { recursive: true, force: true })
}, 60_000)

const runs = async (pod: string, image = 'app'): Promise<string> => {
  await cluster.kubectl('run', pod, `--image=${registry.host}/secret/${image}:1`, '--image-pull-policy=Always', '--grace-period=1')
  return await cluster.kubectl('wait', '--for=condition=Ready', `pod/${pod}`, '--timeout=60s')
}

test('pods have images without a Secret, and after another start of the cluster, too', async () => {
  await runs('first')
  await cluster.down()
  await cluster.up()
  await runs('second')
}, 120_000)

test('a provider that wants a token of the pod’s service account has one when nodes may ask for it', async () => {
  await cluster.kubectl('run', 'early', `--image=${registry.host}/secret/account:1`)
  const reason = () => cluster.kubectl('get', 'pod', 'early', '-o', 'jsonpath={.status.containerStatuses[0].state.waiting.reason}')
  await expect.poll(reason, { timeout: 60_000 }).toMatch(/^(ErrImagePull|ImagePullBackOff)$/)
  await cluster.apply(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: audience}
rules: [{apiGroups: [""], resources: [registry], verbs: [request-serviceaccounts-token-audience]}]`)
  await cluster.kubectl('create', 'clusterrolebinding', 'audience', '--clusterrole=audience', '--group=system:nodes')
  await runs('late', 'account')
}, 120_000)

test('a configuration without its programs, and one that is not there, are refused', async () => {
  const up = (...flags: string[]) => runCox(['up', '--ephemeral', '--detach', '--nodes', '1', ...flags])
  const missing = path.join(directory, 'missing')
  const file = path.join(directory, 'config.yaml')
  expect((await up('--image-credential-provider-config', file)).stderr).toContain(
    '--image-credential-provider-config needs --image-credential-provider-bin-dir',
  )
  const { code, stderr } = await up('--image-credential-provider-config', missing, '--image-credential-provider-bin-dir', directory)
  expect([code, stderr]).toEqual([1, expect.stringContaining(`there is no ${missing}`)])
})
