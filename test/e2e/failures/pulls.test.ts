/**
 * Pods of images from a registry while node-agent, the puller, the registry and a load are killed again and again: each pod runs once, with
 * its image's files, and nothing is left over. Then a reboot, and an index of the images that is corrupt.
 */
import { readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import { nodes, pods } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { startCluster, type ClusterFixture } from '../../fixtures/cluster.ts'
import { busyboxLayer, documentsOf, tarOf } from '../../fixtures/images.ts'
import { pullPlug } from '../../fixtures/plug.ts'
import { pushImage, startRegistry, type TestRegistry } from '../../fixtures/registry.ts'
import { clientOf, delay, eventually, isReady, processes, row, signal } from './setup.ts'

let cluster: ClusterFixture
let client: Client
let registry: TestRegistry
beforeAll(async () => {
  ;[cluster, registry] = await Promise.all([startCluster({ nodes: 1 }), startRegistry()])
  client = clientOf(cluster)
}, 150_000)
afterAll(async () => {
  await cluster?.stop()
  await registry?.close()
}, 60_000)

const base = busyboxLayer()
const imageOf = (word: string) => ({
  layers: [base, tarOf([{ name: 'large', content: randomBytes(4 << 20) }]), tarOf([{ name: 'word', content: `${word}\n` }])],
  config: { Env: ['PATH=/bin'], Cmd: ['sh', '-c', 'cat /word'] },
})
const podOf = (name: string, image: string, more: object = {}, container: object = {}): Pod =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: { restartPolicy: 'Never', terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image, ...container }], ...more },
  }) as unknown as Pod
const own = (): Promise<Pod[]> => client.list(pods, 'default').then(l => l.items)

/** Pids of the machine's image pullers for this cluster, and of what `cox image` runs. */
const imageProcesses = (): number[] =>
  readdirSync('/proc').flatMap(pid => {
    if (!/^\d+$/.test(pid)) return []
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      return /image-puller\.js|image-tool\.js/.test(line) && line.includes(cluster.dir) ? [Number(pid)] : []
    } catch {
      return []
    }
  })

/** `docker save NAME >FILE` */
async function archiveOf(name: string, image: ReturnType<typeof imageOf>): Promise<string> {
  const file = path.join(cluster.dir, 'archive.tar')
  const Layers = image.layers.map((_, n) => `${n}.tar`)
  const manifest = JSON.stringify([{ Config: 'config.json', RepoTags: [name], Layers }])
  const entries = image.layers.map((content, n) => ({ name: `${n}.tar`, content }))
  await writeFile(
    file,
    tarOf([{ name: 'config.json', content: documentsOf(image).config }, ...entries, { name: 'manifest.json', content: manifest }]),
  )
  return file
}

const store = (): { [what: string]: string[] } =>
  Object.fromEntries(['layers', 'blobs/sha256', 'ingest'].map(at => [at, readdirSync(path.join(cluster.dir, 'images', at))]))

row('who pulls and loads images is killed in the middle', 240_000, async round => {
  const count = 6
  const words = Array.from({ length: count }, (_, n) => `word-${round}-${n}`)
  for (const word of words) await pushImage(registry, word, '1', imageOf(word))
  const loaded = `loaded-${round}`
  const archive = await archiveOf(`acme/${loaded}:1`, imageOf(loaded))
  let over = false
  const kills = async (): Promise<void> => {
    for (let n = 0, pid = 0; !over; n++) {
      await delay(300 + Math.random() * 1500)
      if (n % 3 === 0) pid = (await signal(cluster, r => r.component === 'node-agent' && r.pid !== pid, 'a new node-agent')).pid
      else if (n % 3 === 1) {
        await registry.kill()
        await delay(Math.random() * 500)
        await registry.restart()
      } else
        for (const each of imageProcesses()) {
          try {
            process.kill(each, 'SIGKILL')
          } catch {
            // It went by itself.
          }
        }
    }
    await registry.restart().catch(() => {})
  }
  const work = async (): Promise<void> => {
    await client.create(pods, 'default', podOf(loaded, `acme/${loaded}:1`, {}, { imagePullPolicy: 'Never' }))
    for (const word of words) {
      await client.create(pods, 'default', podOf(word, `${registry.host}/${word}:1`))
      await delay(Math.random() * 1500)
      // It is killed like the others.
      if (word === words[2]) void cluster.cox('image', 'load', archive).catch(() => {})
    }
    await delay(2000)
  }
  const killing = kills()
  await work().finally(() => (over = true))
  await killing
  expect((await cluster.cox('image', 'load', archive)).code).toBe(0)
  const done = await eventually(
    async () => {
      const all = await own()
      return all.length === count + 1 && all.every(p => p.status?.phase === 'Succeeded') ? all : undefined
    },
    'every pod has run',
    120_000,
  )
  for (const { metadata, status } of done) {
    expect([metadata.name, status?.containerStatuses?.[0]?.restartCount]).toEqual([metadata.name, 0])
    expect(await cluster.kubectl('logs', metadata.name!)).toBe(metadata.name)
  }
  await client.deleteCollection(pods, 'default', {})
  await eventually(async () => (await own()).length === 0, 'the pods are gone')
  const listed = JSON.parse((await cluster.cox('image', 'list', '-o', 'json')).stdout) as { kind: string; names: string[] }[]
  const names = listed.filter(i => i.kind === 'store').flatMap(i => i.names.filter(n => !n.includes('@')))
  expect(names.sort()).toEqual([...words.map(word => `${registry.host}/${word}:1`), `docker.io/acme/${loaded}:1`].sort())
  expect((await cluster.cox('image', 'rm', ...names)).code).toBe(0)
  await eventually(async () => {
    expect((await cluster.cox('image', 'prune')).code).toBe(0)
    expect(store()).toEqual({ layers: [], 'blobs/sha256': [], ingest: [] })
    return true
  }, 'nothing is left of the images')
  await rm(archive)
})

row('a reboot under pods of real images', 180_000, async round => {
  const word = `stays-${round}`
  const image = imageOf(word)
  await pushImage(registry, word, '1', image)
  const container = { command: ['sh', '-c', 'cat /word; echo >>/written; wc -l </written; exec sleep 1000'] }
  await client.create(pods, 'default', podOf(word, `${registry.host}/${word}:1`, { restartPolicy: 'Always' }, container))
  await eventually(async () => isReady(await client.get(pods, 'default', word)), 'the pod is Ready')
  await registry.kill()
  await pullPlug(cluster.dir, cluster.index, await cluster.ps())
  await cluster.up()
  const back = await eventually(
    async () => {
      const pod = await client.get(pods, 'default', word)
      return isReady(pod) && pod.status?.containerStatuses?.[0]?.restartCount === 1 ? pod : undefined
    },
    'the pod is Ready again, without its registry',
    90_000,
  )
  expect(back.status?.containerStatuses?.[0]?.lastState?.terminated).toBeDefined()
  // A container that is started anew has its image's files and nothing else.
  expect(await cluster.kubectl('logs', word)).toBe(`${word}\n1`)
  await client.delete(pods, 'default', word)
  await eventually(async () => (await own()).length === 0, 'the pod is gone')
  await registry.restart()
})

row('the index of the images is corrupt', 180_000, async round => {
  const name = `indexed-${round}`
  const image = `docker.io/acme/${name}:1`
  const archive = await archiveOf(image, imageOf(name))
  expect((await cluster.cox('image', 'load', archive)).code).toBe(0)
  await rm(archive)
  const container = { imagePullPolicy: 'Never', command: ['sleep', '1000'] }
  await client.create(pods, 'default', podOf(name, image, {}, container))
  await eventually(async () => isReady(await client.get(pods, 'default', name)), 'the pod is Ready')
  const node = () => client.get(nodes, '', 'node-1')
  const knows = async (): Promise<boolean> => (await node()).status?.images?.some(i => i.names?.includes(image)) ?? false
  await eventually(knows, 'the node tells of the image')
  const running = processes(await cluster.ps(), pod => pod === name)

  const file = path.join(cluster.dir, 'images/index.json')
  const whole = readFileSync(file)
  const index = (content: string | Buffer): void => (writeFileSync(`${file}.other`, content), renameSync(`${file}.other`, file))
  const damaged = [whole.subarray(0, whole.length / 2), '', '{"schemaVersion":2,"manifests":[{"digest":"sha256:1","size":1}]}']
  const waiting = damaged.map((_, n) => `${name}-waits-${n}`)
  try {
    for (const [n, content] of damaged.entries()) {
      index(content)
      const { pid } = await signal(cluster, r => r.component === 'node-agent', 'the node-agent')
      await eventually(async () => (await cluster.ps()).some(r => r.component === 'node-agent' && r.pid !== pid), 'the next one')
      await client.create(pods, 'default', podOf(waiting[n]!, image, {}, container))
      const why = await eventually(async () => {
        const { reason, message } = (await client.get(pods, 'default', waiting[n]!)).status?.containerStatuses?.[0]?.state?.waiting ?? {}
        return reason === 'ImageInspectError' && message
      }, 'a pod of the image waits')
      expect(why).toContain('index.json of the image store is ')
      const listed = await cluster.cox('image', 'list')
      expect([listed.code, listed.stderr]).toEqual([1, expect.stringContaining('index.json of the image store is ')])
      expect((await node()).status?.conditions?.find(c => c.type === 'Ready')?.status).toBe('True')
      // What it cannot tell it does not deny.
      expect(await knows()).toBe(true)
    }
  } finally {
    index(whole)
  }
  for (const each of waiting) {
    const pod = await eventually(async () => {
      const now = await client.get(pods, 'default', each)
      return isReady(now) && now
    }, `${each} is Ready`)
    expect(pod.status?.containerStatuses?.[0]?.restartCount).toBe(0)
  }
  expect(processes(await cluster.ps(), pod => pod === name)).toEqual(running)
  await client.deleteCollection(pods, 'default', {})
  await eventually(async () => (await own()).length === 0, 'the pods are gone')
  expect((await cluster.cox('image', 'rm', image)).code).toBe(0)
  await eventually(async () => !(await knows()), 'the node tells of the image no more')
})
