/** Whoever loads or pulls an image is killed at any time, again and again: what is not whole does not count, and nothing is left over. */
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openImageStore } from '#node-agent/runtime/images/imagestore.ts'
import { listMounts } from '#shared/linux/mount.ts'
import { documentsOf, gzip, tarOf } from '../../fixtures/images.ts'
import { pushImage, startRegistry, type TestRegistry } from '../../fixtures/registry.ts'

const tool = path.resolve(import.meta.dirname, '../../../node-agent/image/main.ts')
const kills = 5
let directory: string
let registry: TestRegistry
/** Many files, and some that take a while. */
const layer = (name: string): Buffer =>
  tarOf([
    ...Array.from({ length: 400 }, (_, n) => ({ name: `${name}/small/${n}`, content: `${name} ${n}` })),
    ...Array.from({ length: 2 }, (_, n) => ({ name: `${name}/large/${n}`, content: randomBytes(2 << 20) })),
  ])
const image = { layers: ['a', 'b', 'c'].map(layer), config: { Cmd: ['/nothing'] } }
beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'killed-'))
  registry = await startRegistry()
  await pushImage(registry, 'killed', '1', image)
  const { config } = documentsOf(image)
  writeFileSync(
    path.join(directory, 'archive.tar'),
    tarOf([
      { name: 'config.json', content: config },
      ...image.layers.map((content, n) => ({ name: `${n}.tar`, content: gzip(content) })),
      {
        name: 'manifest.json',
        content: JSON.stringify([{ Config: 'config.json', RepoTags: ['killed:1'], Layers: image.layers.map((_, n) => `${n}.tar`) }]),
      },
    ]),
  )
})
afterAll(async () => {
  await registry.close()
  rmSync(directory, { recursive: true, force: true })
})

/** Runs the image tool; with a time in ms until it is killed. Resolves with its exit code, or `killed`. */
function run(request: object, killAfterMs?: number): Promise<number | 'killed'> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', tool, JSON.stringify({ json: false, ...request })], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    const timer = killAfterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfterMs)
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      clearTimeout(timer)
      resolve(signal === null ? code! : 'killed')
    })
  })
}

/** Processes that have the store in their command line. */
const processesAt = (store: string): string[] =>
  readdirSync('/proc').flatMap(pid => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return []
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'latin1')
      return line.includes(store) ? [line.replaceAll('\0', ' ')] : []
    } catch {
      return []
    }
  })
/** All that a store has, without locks, which come and go, and whether it is on the disk by now. */
const filesOf = (store: string): string[] =>
  execFileSync('find', [store, '-printf', '%P %y %m %U:%G\\n'], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  })
    .split('\n')
    .filter(line => !/^(\S*lock|leases|\S*\/synced)\b/.test(line))
    .sort()

const ways: [string, string, () => object][] = [
  ['load', 'killed:1', () => ({ command: 'load', from: path.join(directory, 'archive.tar') })],
  ['pull', '', () => ({ command: 'pull', names: [`${registry.host}/killed:1`] })],
]
test.each(ways)('%s', { timeout: 240_000 }, async (way, named, command) => {
  const name = named || `${registry.host}/killed:1`
  const [whole, store] = ['whole', 'killed'].map(s => path.join(directory, `${way}-${s}`)) as [string, string]
  const began = performance.now()
  expect(await run({ ...command(), store: whole })).toBe(0)
  const takesMs = performance.now() - began
  const { id } = (await (await openImageStore(whole)).find(name))!
  let killed = 0
  for (let n = 0; n < kills; n++) {
    const opened = existsSync(store) ? await openImageStore(store) : undefined
    // Whatever there is under the name is whole.
    const found = await opened?.find(name)
    if (found) {
      expect(found.id).toBe(id)
      expect((await opened!.layers(found)).layers).toHaveLength(3)
      await run({ command: 'rm', names: [name], store })
    }
    if ((await run({ ...command(), store }, ((n + Math.random()) / kills) * takesMs)) === 'killed') killed++
  }
  expect(killed).toBeGreaterThan(0)
  // What a killed one was about to do is over soon, though nobody tells it.
  await expect.poll(() => processesAt(store), { timeout: 20_000 }).toEqual([])
  expect(await run({ ...command(), store })).toBe(0)
  for (const each of [store, whole]) expect(await run({ command: 'prune', store: each })).toBe(0)
  expect(filesOf(store)).toEqual(filesOf(whole))
  expect(await run({ command: 'rm', names: [name], store })).toBe(0)
  for (const left of ['layers', 'blobs/sha256', 'ingest']) expect(readdirSync(path.join(store, left)), left).toEqual([])
  expect((await listMounts()).filter(m => m.target.startsWith(directory))).toEqual([])
})
