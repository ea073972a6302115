/** Pods of images from a registry on the machine's loopback: plain, and with a password. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, runCox } from '../../fixtures/cluster.ts'
import { busyboxLayer } from '../../fixtures/images.ts'
import { pushImage, startRegistry, type TestRegistry } from '../../fixtures/registry.ts'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'

let cluster: SharedCluster
let open: TestRegistry
let closed: TestRegistry
let digests: { open: string; closed: string }
beforeAll(async () => {
  ;[cluster, open, closed] = await Promise.all([sharedCluster(), startRegistry(), startRegistry({ password: true })])
  const source = { layers: [busyboxLayer()], config: { Env: ['PATH=/bin'], Cmd: ['sh', '-c', 'echo hello; exec sleep 1000'] } }
  digests = {
    open: (await pushImage(open, 'team/app', '1.0', source)).digest,
    closed: (await pushImage(closed, 'secret/app', '1.0', source)).digest,
  }
}, 120_000)
afterAll(async () => {
  await cluster?.stop()
  await Promise.all([open?.close(), closed?.close()])
}, 60_000)

interface Status {
  phase: string
  containerStatuses?: { image: string; imageID: string; state: { waiting?: { reason: string; message: string } } }[]
}
const statusOf = async (pod: string): Promise<Status> =>
  JSON.parse(await cluster.kubectl('get', 'pod', pod, '-o', 'jsonpath={.status}')) as Status
const events = (pod: string): Promise<string> =>
  cluster.kubectl(
    'get',
    'events',
    '--field-selector',
    `involvedObject.name=${pod}`,
    '-o',
    'jsonpath={range .items[*]}{.reason} {.message}{"\\n"}{end}',
  )
const waitsWith = (pod: string, reason: string): Promise<true> =>
  eventually(async () => (await statusOf(pod)).containerStatuses?.[0]?.state.waiting?.reason === reason, `${pod} waits with ${reason}`)
const pod = (name: string, image: string, more = '', container = ''): Promise<string> =>
  cluster.apply(`
apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: app, image: "${image}"${container}}]
${more}`)

test('a pod runs, and tells what it runs', async () => {
  const image = `${open.host}/team/app:1.0`
  await pod('plain', image)
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/plain', '--timeout=60s')
  expect(await cluster.kubectl('logs', 'plain')).toBe('hello')
  expect((await statusOf('plain')).containerStatuses![0]).toMatchObject({ image, imageID: `${open.host}/team/app@${digests.open}` })
  await eventually(
    async () =>
      /Pulled Successfully pulled image ".*" in \S+ \(\S+ including waiting\)\. Image size: \d+ bytes\./.test(await events('plain')),
    'the event of the pull',
  )
  // The nodes of a machine share their images, and each tells of them.
  await eventually(
    async () =>
      (await cluster.kubectl('get', 'nodes', '-o', 'jsonpath={.items[*].status.images[*].names}')).includes(
        `${open.host}/team/app@${digests.open}`,
      ),
    'node.status.images',
  )
}, 120_000)

test('an image with a password needs a Secret, also when it is there', async () => {
  const image = `${closed.host}/secret/app:1.0`
  await pod('stranger', image)
  await waitsWith('stranger', 'ImagePullBackOff')
  expect((await statusOf('stranger')).containerStatuses![0]!.state.waiting!.message).toBe(
    `Back-off pulling image "${image}": ErrImagePull: failed to pull and unpack image "${image}": failed to resolve reference "${image}": ` +
      'pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials',
  )
  await cluster.kubectl(
    ...[
      'create',
      'secret',
      'docker-registry',
      'pull',
      `--docker-server=${closed.host}`,
      '--docker-username=jane',
      '--docker-password=secret',
    ],
  )
  await pod('friend', image, '  imagePullSecrets: [{name: pull}]')
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/friend', '--timeout=60s')
  // It is there now, but not for everybody.
  await pod('other', image, '', ', imagePullPolicy: Never')
  await waitsWith('other', 'ErrImageNeverPull')
  expect((await statusOf('other')).containerStatuses![0]!.state.waiting!.message).toBe(
    `Container image "${image}" is present with pull policy of Never but does not have the proper credentials to access the image`,
  )
  // A service account brings its Secrets to its pods.
  await cluster.kubectl('create', 'serviceaccount', 'puller')
  await cluster.kubectl('patch', 'serviceaccount', 'puller', '-p', '{"imagePullSecrets":[{"name":"pull"}]}')
  await pod('account', image, '  serviceAccountName: puller', ', imagePullPolicy: Never')
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/account', '--timeout=60s')
}, 180_000)

test('a registry that is not there, and an image that is not there', async () => {
  await pod('gone', '127.0.0.1:1/app:1')
  await waitsWith('gone', 'RegistryUnavailable')
  await waitsWith('gone', 'ImagePullBackOff')
  await pod('none', `${open.host}/team/app:none`)
  await waitsWith('none', 'ErrImagePull')
  expect((await statusOf('none')).containerStatuses![0]!.state.waiting!.message).toContain(
    `failed to resolve reference "${open.host}/team/app:none": ${open.host}/team/app:none: not found`,
  )
}, 120_000)

test('cox image pull gets an image for the pods that wait for it', async () => {
  const image = `${open.host}/team/app:1.0`
  await runCox(['image', 'rm', image, '--state-dir', cluster.dir])
  await pod('waiting', image, '', ', imagePullPolicy: Never')
  await waitsWith('waiting', 'ErrImageNeverPull')
  const { stdout } = await runCox(['image', 'pull', image, '--state-dir', cluster.dir])
  expect(stdout).toMatch(/^pulled 127\.0\.0\.1:\d+\/team\/app:1\.0 \([0-9a-f]{12}, [\d.]+[KM]iB\)$/)
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/waiting', '--timeout=60s')
  const refused = await runCox(['image', 'pull', `${open.host}/team/none:1`, '--state-dir', cluster.dir])
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining(`${open.host}/team/none:1: not found`) as string })
}, 120_000)
