/** Static pods: from manifests of the node, without the API, and told to it by mirrors. */
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pino } from 'pino'
import { fileSource } from '#node-agent/kubelet/podsource/file.ts'
import { pods } from '#shared/api/kinds.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { harness, type Harness } from './harness.ts'

let h: Harness
let manifests: string
beforeAll(async () => {
  h = await harness([], { manifests: true })
  manifests = join(h.rootDir, 'manifests')
})
afterAll(async () => {
  await rm(manifests, { recursive: true })
  await h.api.until(() => h.kubelet().workers().length === 0, 20_000)
  await h.close()
})

const isReady = (p: Pod) => p.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True')
const manifest = (name: string, word: string) => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: default, labels: {word: ${word}}}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: busybox, command: [sh, -c, "echo ${word}; sleep 1000"]}]
`
/** A whole file at once, as a tool would place it. */
async function place(name: string, text: string): Promise<void> {
  await writeFile(join(manifests, `.${name}`), text)
  await rename(join(manifests, `.${name}`), join(manifests, name))
}
const mirror = (name: string) => h.get(`${name}-n1`)
const running = (name: string) => h.kubelet().find('default', `${name}-n1`)

test('a manifest becomes a pod, and the API learns of it', async () => {
  await place('one.yaml', manifest('one', 'first'))
  await place('broken.yaml', 'kind: Pod\napiVersion: v1\nmetadata: {name: broken}\nspec: {containers: [], nonsense: 1}')
  const pod = await h.until('one-n1', isReady)
  const worker = running('one')!
  expect(pod.metadata).toMatchObject({
    labels: { word: 'first' },
    annotations: {
      'kubernetes.io/config.source': 'file',
      'kubernetes.io/config.hash': worker.pod.metadata.uid,
      'kubernetes.io/config.mirror': worker.pod.metadata.uid,
    },
  })
  expect(pod.spec.containers[0]).toMatchObject({ terminationMessagePath: '/dev/termination-log', imagePullPolicy: 'Always' })
  expect(running('broken')).toBeUndefined()
})

test('a mirror that is deleted comes back, with its status; the pod runs on', async () => {
  const { id } = running('one')!.state.containers['c']!.current
  const { resourceVersion } = mirror('one')!.metadata
  h.api.remove(pods, 'default', 'one-n1')
  await h.api.until(() => Number(mirror('one')?.metadata.resourceVersion) > Number(resourceVersion) && isReady(mirror('one')!))
  expect(running('one')!.state.containers['c']!.current).toMatchObject({ id, state: 'running', attempt: 0 })
})

test('another kubelet finds the same pod; without the API too', async () => {
  const { id } = running('one')!.state.containers['c']!.current
  await h.restart('boot-1', { api: false })
  await expect.poll(() => running('one')?.live('c').exited !== undefined).toBe(true)
  expect(running('one')!.state.containers['c']!.current).toMatchObject({ id, state: 'running' })
  await place('two.yaml', manifest('two', 'alone'))
  await expect.poll(() => running('two')?.state.containers['c']?.current.state).toBe('running')
  expect(mirror('two')).toBeUndefined()
  await h.restart()
  await h.until('two-n1', isReady)
})

test('a changed manifest is another pod, which waits for the one before', async () => {
  const before = running('one')!.pod.metadata.uid!
  await place('one.yaml', manifest('one', 'second'))
  const pod = await h.until('one-n1', p => p.metadata.labels?.['word'] === 'second' && isReady(p))
  expect(pod.metadata.annotations?.['kubernetes.io/config.mirror']).not.toBe(before)
  expect(h.kubelet().worker(before)).toBeUndefined()
})

test('a pod whose manifest goes, goes, and its mirror with it; one that comes back comes back', async () => {
  await rm(join(manifests, 'two.yaml'))
  await h.api.until(() => !mirror('two'))
  await place('two.yaml', manifest('two', 'alone'))
  await h.until('two-n1', isReady)
})

test('a manifest that is none any more keeps its pod for a while, and for good when it is mended', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'manifests-'))
  const file = join(directory, 'one.yaml')
  const follow = async (graceMs: number, after: (told: string[], logged: () => string) => Promise<void>): Promise<void> => {
    await writeFile(file, manifest('one', 'good'))
    const stop = new AbortController()
    const told: string[] = []
    let lines = ''
    const log = pino({}, { write: line => void (lines += line) })
    const source = fileSource(directory, 'n1', log, stop.signal, graceMs)
    source.subscribe(
      p => told.push(`seen ${p.metadata.labels?.['word']}`),
      p => told.push(`gone ${p.metadata.labels?.['word']}`),
    )
    await source.synced
    await writeFile(file, 'kind: Pod')
    try {
      await after(told, () => lines)
    } finally {
      stop.abort()
    }
  }
  try {
    await follow(300, told => expect.poll(() => told).toEqual(['seen good', 'gone good']))
    await follow(3_600_000, async (told, logged) => {
      await expect.poll(logged).toContain('not the manifest of a pod any more')
      expect(told).toEqual(['seen good'])
      await writeFile(file, manifest('one', 'mended'))
      await expect.poll(() => told).toEqual(['seen good', 'gone good', 'seen mended'])
    })
  } finally {
    await rm(directory, { recursive: true })
  }
})
