/**
 * Disks of our block driver: a pod with a claim, attaching and detaching, and writing to one beside the disk that its image is on, and
 * beside a file of that disk as a loop device with ext4, made by hand: what is between the two is the kernel's.
 */
import { closeSync, fdatasyncSync, fsyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import path from 'node:path'
import { parseAllDocuments } from 'yaml'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { csiDrivers, csiNodes, daemonSets, nodes, persistentVolumeClaims, persistentVolumes, pods, storageClasses, volumeAttachments } from '#shared/api/kinds.ts' // prettier-ignore
import type { Kind } from '#shared/api/resource.ts'
import { run } from '#shared/linux/run.ts'
import type { Measurement, Row } from './measurement.ts'
import { watchObjects } from './objects.ts'
import { isReady, sleeper, watchPods } from './pods.ts'
import { percentile } from './statistics.ts'
import { until } from './until.ts'

const driver = 'block.csi.coxswain.io'
const MiB = 1 << 20
const large = 192
const syncs = 200
const ms = (since: number): number => performance.now() - since

/** How often a second a small write is on disk. */
function syncsOf(fd: number, block: Buffer): number {
  const began = performance.now()
  for (let i = 0; i < syncs; i++) {
    writeSync(fd, block, 0, 4096)
    fdatasyncSync(fd)
  }
  return (syncs * 1e3) / ms(began)
}
/** MB/s of one large file with its fsync, and how often a small write is on disk: of a file that grows, and over what is there. */
function write(directory: string): { rate: number; grows: number; again: number } {
  const file = path.join(directory, 'bench')
  const block = Buffer.alloc(MiB, 7)
  const began = performance.now()
  let fd = openSync(file, 'w')
  for (let i = 0; i < large; i++) writeSync(fd, block)
  fsyncSync(fd)
  closeSync(fd)
  const rate = (large * MiB) / 1e3 / ms(began)
  fd = openSync(file, 'w')
  const grows = syncsOf(fd, block)
  closeSync(fd)
  // As databases do with logs that they keep.
  fd = openSync(file, 'r+')
  const again = syncsOf(fd, block)
  closeSync(fd)
  rmSync(file)
  return { rate, grows, again }
}

/** In a directory of the disk; resolves with where it is mounted. */
async function madeByHand(directory: string, afterwards: (undo: () => Promise<unknown>) => void): Promise<string> {
  const [image, place] = [path.join(directory, 'by-hand.img'), path.join(directory, 'by-hand')]
  await mkdir(place)
  await run('truncate', ['--size', '512M', image])
  await run('mke2fs', ['-q', '-F', '-t', 'ext4', image])
  await run('mount', ['-o', 'loop', image, place])
  afterwards(() => run('umount', [place]))
  return place
}

export const measureDisks: Measurement = async bench => {
  const { client, cluster, sizes } = bench
  const data = await mkdtemp('/var/tmp/cox-bench-disks-')
  bench.afterwards(() => rm(data, { recursive: true, force: true }))
  const kinds = [csiDrivers, storageClasses, daemonSets] as Kind[]
  const manifest = readFileSync(path.join(import.meta.dirname, '../../drivers/manifests/block.yaml'), 'utf8')
  for (const document of parseAllDocuments(manifest.replaceAll('/var/lib/coxswain/csi', data))) {
    const object = document.toJSON() as KubeObject & { kind: string }
    const kind = kinds.find(k => k.kind === object.kind)!
    const { namespace = '', name = '' } = object.metadata
    await client.create(kind, namespace, object)
    bench.afterwards(() => client.delete(kind, namespace, name))
  }
  const count = (await client.list(nodes, '')).items.length
  const registered = async () => (await client.list(csiNodes, '')).items.filter(n => n.spec.drivers?.some(d => d.name === driver)).length
  await until(async () => (await registered()) === count, 'the driver is on every node')
  const namespace = await bench.namespace()
  const [podWatch, attachmentWatch, volumeWatch] = await Promise.all([
    watchPods(client, namespace),
    watchObjects(client, volumeAttachments, ''),
    watchObjects(client, persistentVolumes, ''),
  ])
  for (const { stop } of [podWatch, attachmentWatch, volumeWatch]) bench.afterwards(stop)
  const ready = (name: string) => podWatch.until(all => all.has(name) && isReady(all.get(name)!), `${name} is Ready`)
  const claim = (name: string, storage: string) =>
    client.create(persistentVolumeClaims, namespace, {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { namespace, name },
      spec: { storageClassName: 'block', accessModes: ['ReadWriteOnce'], resources: { requests: { storage } } },
    })
  const using = (name: string) => sleeper(namespace, name, { volumes: [{ name: 'data', persistentVolumeClaim: { claimName: name } }] })
  const times = { withClaim: [] as number[], without: [] as number[], attach: [] as number[], detach: [] as number[] }
  for (let i = 0; i <= sizes.repeat; i++) {
    const name = `disk-${i}`
    let began = performance.now()
    await claim(name, '64Mi')
    await client.create(pods, namespace, using(name))
    const made = attachmentWatch.until(all => all.size > 0, 'an attachment').then(() => performance.now())
    const attached = attachmentWatch.until(all => [...all.values()].some(a => a.status?.attached), 'it is attached')
    await attached
    const attach = ms(await made)
    await ready(name)
    const took = ms(began)
    began = performance.now()
    await client.create(pods, namespace, sleeper(namespace, `none-${i}`))
    await ready(`none-${i}`)
    const floor = ms(began)
    await client.deleteCollection(pods, namespace)
    await podWatch.until(all => all.size === 0, 'the pods are gone')
    began = performance.now()
    await attachmentWatch.until(all => all.size === 0, 'it is detached')
    const detach = ms(began)
    await client.delete(persistentVolumeClaims, namespace, name)
    await volumeWatch.until(all => all.size === 0, 'its volume is gone')
    if (i === 0) continue
    for (const [list, value] of [[times.withClaim, took], [times.without, floor], [times.attach, attach], [times.detach, detach]] as const) list.push(value) // prettier-ignore
  }

  await claim('written', '512Mi')
  await client.create(pods, namespace, using('written'))
  await ready('written')
  const { metadata, spec } = await client.get(pods, namespace, 'written')
  const agent = (await cluster.ps()).find(r => r.component === 'node-agent' && r.node === spec.nodeName)!
  // As the node sees it: in its own mount namespace.
  const place = path.join(`/proc/${agent.pid}/root`, cluster.dir.root, 'nodes', spec.nodeName!, 'pods', metadata.uid!, 'volumes/kubernetes.io~csi/data/mount') // prettier-ignore
  const hand = await madeByHand(data, bench.afterwards)
  const rounds = Array.from({ length: Math.max(3, sizes.repeat) }, () => ({ disk: write(data), hand: write(hand), volume: write(place) }))
  const median = (of: 'disk' | 'hand' | 'volume', what: keyof ReturnType<typeof write>): number =>
    percentile(rounds.map(r => r[of][what]), 0.5) // prettier-ignore
  await client.deleteCollection(pods, namespace)
  await client.delete(persistentVolumeClaims, namespace, 'written')
  await volumeWatch.until(all => all.size === 0, 'its volume is gone')
  const beside = (name: string, unit: Row['unit'], what: keyof ReturnType<typeof write>): Row[] =>
    ([['disk', 'the disk that its image is on'], ['hand', 'a loop device with ext4, made by hand']] as const).map(([of, floorName]) => {
      const floor = median(of, what)
      return { name: `disk: ${name}`, unit, value: median('volume', what), floor, floorName, target: 0.95 * floor }
    }) // prettier-ignore
  return [
    { name: 'claim and its pod (disk): create to Ready, p50', unit: 'ms', value: percentile(times.withClaim, 0.5), floor: percentile(times.without, 0.5), floorName: 'a pod without a claim', target: 400 }, // prettier-ignore
    { name: 'disk: attach, p50', unit: 'ms', value: percentile(times.attach, 0.5) },
    { name: 'disk: detach after its pod is gone, p50', unit: 'ms', value: percentile(times.detach, 0.5) },
    ...beside('write one large file and fsync', 'MB/s', 'rate'),
    ...beside('small writes with fdatasync, the file grows', '/s', 'grows'),
    ...beside('small writes with fdatasync, over what is there', '/s', 'again'),
  ]
}
