/** KubeletConfiguration: what a file may say, and what it changes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { flags, nodeAgentOptions } from '#node-agent/options.ts'
import { imagePatternError } from '#shared/kubelet/imagepatterns.ts'

let directory: string
beforeAll(() => (directory = mkdtempSync(join(tmpdir(), 'kubeletconfig-'))))
afterAll(() => rmSync(directory, { recursive: true }))

const needed = {
  natsUrl: 'nats://127.0.0.1:1',
  creds: '/c',
  nodeName: 'n',
  rootDir: '/r',
  nodeIp: '10.0.0.1',
  podCidr: '10.1.0.0/24',
  clusterCidr: '10.1.0.0/16',
  serviceClusterIpRange: '10.2.0.0/16',
}
async function options(yaml: string | undefined, more: object = {}) {
  const config = join(directory, 'config.yaml')
  if (yaml !== undefined) writeFileSync(config, `apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n${yaml}`)
  return await nodeAgentOptions(flags.parse({ ...needed, ...more, ...(yaml === undefined ? {} : { config }) }))
}

test('without a file flags say all', async () => {
  const found = await options(undefined, { evictionHard: 'memory.available<50Mi', systemReserved: 'cpu=1,pid=100' })
  expect(found.thresholds).toEqual([{ signal: 'memory.available', amount: { value: 50 * 2 ** 20, text: '50Mi' }, graceMs: 0 }])
  expect(found).toMatchObject({
    systemReserved: { cpu: '1', pid: '100' },
    maxPods: 110,
    enforceNodeAllocatable: ['pods'],
    withoutEffect: [],
  })
})

test('a file says more than flags, but only of what it speaks of', async () => {
  const found = await options(
    `maxPods: 20
podPidsLimit: 100
serializeImagePulls: false
nodeStatusUpdateFrequency: 1m
evictionSoft: {memory.available: 1Gi}
evictionSoftGracePeriod: {memory.available: 30s}
kubeReserved: {memory: 200Mi}
containerLogMaxSize: 1Mi
containerLogMaxFiles: 2
crashLoopBackOff: {maxContainerRestartPeriod: 2s}
userNamespaces: {idsPerPod: 131072}
shutdownGracePeriodByPodPriority: [{priority: 0, shutdownGracePeriodSeconds: 5}]
cgroupDriver: systemd
featureGates: {X: true}
`,
    { maxPods: '7', evictionHard: 'nodefs.available<1%', nodeLeaseDurationSeconds: '4' },
  )
  expect(found).toMatchObject({
    maxPods: 20,
    podMaxPids: 100,
    maxParallelImagePulls: Infinity,
    nodeStatusUpdateFrequency: 60_000,
    nodeLeaseDurationSeconds: 4,
    kubeReserved: { memory: '200Mi' },
    containerLogMaxBytes: 2 ** 20,
    containerLogMaxFiles: 2,
    maxContainerRestartPeriod: 2_000,
    idsPerPod: 131_072,
    shutdownGracePeriodByPodPriority: [{ priority: 0, shutdownGracePeriodSeconds: 5 }],
  })
  expect(found.withoutEffect.sort()).toEqual(['cgroupDriver', 'featureGates'])
  expect(found.thresholds.map(t => [t.signal, t.graceMs])).toEqual([
    ['nodefs.available', 0],
    ['memory.available', 30_000],
  ])
})

test('hard thresholds of a file stand alone, unless they are to be merged', async () => {
  expect((await options('evictionHard: {pid.available: 5%}\n')).thresholds.map(t => t.signal)).toEqual(['pid.available'])
  const merged = await options('mergeDefaultEvictionSettings: true\nevictionHard: {pid.available: 5%, memory.available: 1Gi}\n')
  expect(merged.thresholds.map(t => t.signal)).toContain('imagefs.inodesFree')
  expect(merged.thresholds.find(t => t.signal === 'memory.available')?.amount).toEqual({ value: 2 ** 30, text: '1Gi' })
})

test.each([
  ['maxPod: 1\n', 'strict decoding error: unknown field "maxPod"'],
  ['maxPods: many\n', 'maxPods'],
  ['containerLogMaxFiles: 1\n', 'containerLogMaxFiles: Invalid value: 1: must be greater than 1'],
  ['containerLogMaxSize: large\n', 'containerLogMaxSize: Invalid value: "large": must be a quantity greater than 0'],
  [
    'crashLoopBackOff: {maxContainerRestartPeriod: 10m}\n',
    'crashLoopBackOff.maxContainerRestartPeriod: Invalid value: "10m": must be set between 1s and 5m0s',
  ],
  [
    'imagePullCredentialsVerificationPolicy: NeverVerifyAllowlistedImages\npreloadedImagesVerificationAllowlist: [nginx]\n',
    'preloadedImagesVerificationAllowlist[0]: Invalid value: "nginx": neither tag nor digest is accepted in an image reference: nginx',
  ],
  ['userNamespaces: {idsPerPod: 1000}\n', 'userNamespaces.idsPerPod: Invalid value: 1000: must be a multiple of 65536'],
  ['maxPods: -1\n', 'maxPods: Invalid value: -1: must not be a negative number'],
  ['evictionHard: {cpu: 1%}\n', 'unsupported eviction signal cpu'],
  ['evictionSoft: {memory.available: 1Gi}\n', 'grace period must be specified for the soft eviction threshold memory.available'],
  ['systemReserved: {gpu: "1"}\n', 'systemReserved[gpu]: Unsupported value: "gpu"'],
  ['kubeReserved: {cpu: lots}\n', 'kubeReserved[cpu]: Invalid value: "lots": must be a quantity'],
  ['shutdownGracePeriod: 5s\nshutdownGracePeriodCriticalPods: 10s\n', 'must be <= shutdownGracePeriod'],
  [
    'shutdownGracePeriod: 5s\nshutdownGracePeriodByPodPriority: [{priority: 0, shutdownGracePeriodSeconds: 5}]\n',
    'cannot be specified together',
  ],
  ['enforceNodeAllocatable: [system-reserved]\n', 'enforceNodeAllocatable[0]: Unsupported value: "system-reserved"'],
])('%j is refused', async (yaml, message) => {
  await expect(options(yaml)).rejects.toThrow(message)
  await expect(options(yaml)).rejects.toThrow(join(directory, 'config.yaml'))
})

test.each([
  ['image.repo/pokus*/imagename', "only patterns ending with '/*' are allowed"],
  ['image.repo/pokus*', "only patterns ending with '/*' are allowed"],
  ['image.repo/*/imagename', "only patterns ending with '/*' are allowed"],
  ['*', "only patterns ending with '/*' are allowed"],
  ['/*', 'at least registry hostname is required'],
  ['image.repo/', 'failed to parse as an image name'],
  ['', 'the supplied pattern is too short'],
  ['test.io/test/image1:tagged', 'neither tag nor digest is accepted'],
  [`test.io/test/image1@sha256:${'0'.repeat(64)}`, 'neither tag nor digest is accepted'],
  ['nginx', 'neither tag nor digest is accepted'],
  ['test.io/test/image1 ', 'leading/trailing spaces are not allowed'],
  ['test.io/test/image1', undefined],
  ['test.io/*', undefined],
])('%j as an image that is not to be verified', (pattern, wrong) => {
  if (wrong === undefined) expect(imagePatternError(pattern)).toBeUndefined()
  else expect(imagePatternError(pattern)).toContain(wrong)
})

test('another kind is refused', async () => {
  const config = join(directory, 'other.yaml')
  writeFileSync(config, 'apiVersion: v1\nkind: Pod\n')
  await expect(nodeAgentOptions(flags.parse({ ...needed, config }))).rejects.toThrow('no kind "Pod" is registered')
})
