/** Layers as nobody should make them, and as people do: against a model, and by hand. */
import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openImageStore, type ImageStore } from '#node-agent/runtime/images/imagestore.ts'
import { digestOf, documentsOf, gzip, hardLink, putImage, symlink, tarOf, type Entry } from '../../fixtures/images.ts'

let directory: string
let store: ImageStore
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'unpack-'))
  store = await openImageStore(join(directory, 'store'))
})
afterEach(async () => {
  // What a test mounted has gone with its process.
  await rm(directory, { recursive: true, force: true })
})

/** What a container of the image would see: paths to kinds and contents. */
async function seen(image: Awaited<ReturnType<typeof putImage>>): Promise<Record<string, string>> {
  const { layers } = await store.layers(image)
  const [root, empty] = [join(directory, 'mounted'), join(directory, 'empty')]
  mkdirSync(root, { recursive: true })
  mkdirSync(empty, { recursive: true })
  const script = `mount -t overlay -o "lowerdir=$1" overlay "$2" && exec "$3" -c '
import json, os, stat, sys
found = {}
for directory, names, files in os.walk(sys.argv[1]):
    for name in names + files:
        path = os.path.join(directory, name)
        info = os.lstat(path)
        shown = path[len(sys.argv[1]) + 1:]
        found[shown] = ("directory" if stat.S_ISDIR(info.st_mode) else "link " + os.readlink(path) if stat.S_ISLNK(info.st_mode)
            else "file " + open(path).read() if stat.S_ISREG(info.st_mode) else "other")
print(json.dumps(found))' "$2"`
  const lower = [...layers.map(l => l.directory), empty].join(':')
  const out = execFileSync('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', lower, root, '/usr/bin/python3'])
  return JSON.parse(out.toString()) as Record<string, string>
}

const outside = (): string => join(directory, 'outside')
const unpacked = async (...layers: Entry[][]) => await putImage(store, 'test', { layers: layers.map(tarOf) })

describe('hostile layers', () => {
  test.each<[string, Entry[], string]>([
    ['a path with ..', [{ name: '../x', content: 'x' }], 'leads out of the image'],
    ['a path with .. in its middle', [{ name: 'a/../../x', content: 'x' }], 'leads out of the image'],
    ['a hard link to ..', [hardLink('a', '../../../../etc/passwd')], 'leads out of the image'],
    ['a hard link to nothing', [hardLink('a', 'b')], 'which is no file'],
    ['a hard link to a directory', [{ name: 'b/' }, hardLink('a', 'b')], 'which is no file'],
    ['a disk', [{ name: 'sda', type: 'block', major: 8 }], 'has the device "sda" (block 8:0), which no image may have'],
    ['memory', [{ name: 'etc/mem', type: 'character', major: 1, minor: 1 }], 'which no image may have'],
    ['a whiteout of nothing', [{ name: 'a/.wh.' }], 'of nothing'],
    ['a whiteout of ..', [{ name: 'a/.wh...' }], 'of nothing'],
    ['links in circles', [symlink('a', 'b'), symlink('b', 'a'), { name: 'a/x' }], 'loop of links'],
    ['a very long path', [{ name: 'long/'.repeat(1000) }], 'has a path of'],
    ['a directory that becomes a link', [{ name: 'd/' }, { name: 'd/.wh.x' }, symlink('d', '/')], 'as a directory and as something else'],
    [
      'a link in the place of a directory',
      [symlink('s', '/'), { name: 'd/' }, hardLink('d', 's'), hardLink('d/x', 's')],
      'as a directory and as a link',
    ],
  ])('%s is refused', async (_, entries, why) => {
    await expect(unpacked(entries)).rejects.toThrow(why)
    expect(readdirSync(join(directory, 'store/layers'))).toEqual([])
    expect(await store.find('test')).toBeUndefined()
  })

  test('links lead to where they would in the image, never out of it', async () => {
    mkdirSync(outside())
    const image = await unpacked(
      [symlink('abs', outside()), symlink('up', '../../../../../../../..'), symlink('top', '/')],
      [
        { name: 'abs/file', content: 'a' },
        { name: `up/${outside().slice(1)}/file2`, content: 'b' },
        { name: 'top/etc/file', content: 'c' },
        { name: `top/${outside()}/.wh.gone` },
        hardLink('abs/linked', `up/${outside()}/file2`),
      ],
    )
    expect(readdirSync(outside())).toEqual([])
    const at = outside().slice(1)
    expect(await seen(image)).toMatchObject({
      [`${at}/file`]: 'file a',
      [`${at}/file2`]: 'file b',
      [`${at}/linked`]: 'file b',
      'etc/file': 'file c',
    })
  })

  test('a link that is written through in one layer', async () => {
    mkdirSync(outside())
    const image = await unpacked([
      symlink('a', outside()),
      { name: 'a/x', content: 'x' },
      { name: 'a/', mode: 0o700 },
      { name: 'a/y', content: 'y' },
    ])
    expect(readdirSync(outside())).toEqual([])
    expect(await seen(image)).toMatchObject({ a: 'directory', 'a/y': 'file y', [`${outside().slice(1)}/x`]: 'file x' })
  })

  test('attributes of overlayfs and of the system are dropped', async () => {
    const xattrs = Object.fromEntries(
      ['trusted.overlay.opaque', 'trusted.overlay.redirect', 'user.overlay.opaque', 'security.selinux', 'user.kept'].map(n => [
        n,
        Buffer.from('y'),
      ]),
    )
    const image = await unpacked([
      { name: 'd/', xattrs },
      { name: 'f', xattrs },
    ])
    const at = (await store.layers(image)).layers[0]!.directory
    for (const name of ['d', 'f']) {
      const out = execFileSync('/usr/bin/python3', ['-c', 'import os,sys; print(os.listxattr(sys.argv[1]))', join(at, name)]).toString()
      expect(out.trim()).toBe("['user.kept']")
    }
  })

  test('more of a layer than was said, less of it, and another', async () => {
    const layer = gzip(tarOf([{ name: 'a', content: 'a'.repeat(100_000) }]))
    const put = async (bytes: Buffer, diffId: string) => {
      const { manifest, config } = documentsOf({ layers: [tarOf([])] })
      const own = JSON.parse(config.toString()) as { rootfs: { diff_ids: string[] } }
      own.rootfs.diff_ids = [diffId]
      const lease = await store.content.lease()
      try {
        const [made, blob] = [await lease.write(Buffer.from(JSON.stringify(own))), await lease.write(bytes)]
        const text = JSON.parse(manifest.toString()) as { config: object; layers: object[] }
        Object.assign(text.config, made)
        Object.assign(text.layers[0]!, blob)
        return await store.put(lease, ['x'], { mediaType: '', ...(await lease.write(Buffer.from(JSON.stringify(text)))) })
      } finally {
        await lease.release()
      }
    }
    const { gunzipSync } = await import('node:zlib')
    const diffId = digestOf(gunzipSync(layer))
    await expect(put(layer.subarray(0, -50), diffId)).rejects.toThrow(/is damaged: unexpected end of file/)
    await expect(put(layer, digestOf(Buffer.from('x')))).rejects.toThrow(/unpacks to sha256:.*, not to sha256:.* as the image says/)
    await expect(put(Buffer.concat([layer.subarray(0, 200), layer]), diffId)).rejects.toThrow(/is damaged/)
    await put(layer, diffId)
    expect(readdirSync(join(directory, 'store/layers'))).toHaveLength(1)
  })

  test('a bomb is stopped before the disk is full', async () => {
    const disk = join(directory, 'disk')
    mkdirSync(disk)
    // 120 MB of zeros are 120 kB.
    const bomb = gzip(tarOf([{ name: 'zeros', content: Buffer.alloc(120 << 20) }]))
    writeFileSync(join(directory, 'bomb.tar.gz'), bomb)
    const script = `mount -t tmpfs -o size=64m disk "$1" && exec "$2" --disable-warning=ExperimentalWarning "$3" "$1" "$4"`
    const helper = new URL('./bomb.ts', import.meta.url).pathname
    const out = execFileSync('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', disk, process.execPath, helper, join(directory, 'bomb.tar.gz')]).toString() // prettier-ignore
    expect(JSON.parse(out)).toMatchObject({
      error: expect.stringContaining('no space left on device: the layer would fill the disk') as string,
      layers: [],
    })
  })
})

test('a put that is called off leaves nothing', async () => {
  const abort = new AbortController()
  const { manifest, blobs } = documentsOf({ layers: [tarOf([{ name: 'a', content: 'x' }])] })
  const lease = await store.content.lease()
  for (const bytes of blobs.values()) await lease.write(bytes)
  const target = { mediaType: '', digest: digestOf(manifest), size: manifest.length }
  const put = store.put(lease, ['x'], target, { signal: abort.signal, onUnpack: () => abort.abort(new Error('called off')) })
  await expect(put).rejects.toThrow('called off')
  expect(readdirSync(join(directory, 'store/layers'))).toEqual([])
  expect(await store.find('x')).toBeUndefined()
  await lease.release()
})

test('owners, modes, times, links, names of any bytes and sparse files are as in the archive', async () => {
  const long = `${'n'.repeat(200)}/${'m'.repeat(200)}`
  const image = await unpacked([
    { name: 'dir/', mode: 0o1750, uid: 12, gid: 34, mtime: '1000000000.5' },
    { name: 'dir/file', mode: 0o4755, uid: 3_000_000, gid: 5, mtime: '1234567890.123456789', content: 'x' },
    { name: 'dir/pipe', type: 'fifo', mode: 0o600 },
    symlink('dir/link', 'x'.repeat(300)),
    hardLink('dir/hard', 'dir/file'),
    { name: long, content: 'long' },
    { name: 'caf\xc3\xa9\xff', content: 'bytes' },
    { name: 'sparse', content: 'head', sparse: { realSize: 1 << 20, map: [[1000, 4]] } },
    { name: 'old', mtime: '-5' },
  ])
  const at = (await store.layers(image)).layers[0]!.directory
  const stat = (name: string) => lstatSync(join(at, name))
  expect(stat('dir')).toMatchObject({ uid: 12, gid: 34, mtimeMs: 1_000_000_000_500 })
  expect(stat('dir').mode & 0o7777).toBe(0o1750)
  expect(stat('dir/file')).toMatchObject({ uid: 3_000_000, gid: 5, nlink: 2 })
  expect(lstatSync(join(at, 'dir/file'), { bigint: true }).mtimeNs).toBe(1_234_567_890_123_456_789n)
  expect(stat('dir/file').mode & 0o7777).toBe(0o4755)
  expect(stat('dir/hard').ino).toBe(stat('dir/file').ino)
  expect(stat('dir/pipe').isFIFO()).toBe(true)
  expect(readlinkSync(join(at, 'dir/link'))).toBe('x'.repeat(300))
  expect(readFileSync(join(at, long), 'utf8')).toBe('long')
  expect(existsSync(Buffer.concat([Buffer.from(`${at}/caf`), Buffer.from([0xc3, 0xa9, 0xff])]))).toBe(true)
  expect(stat('sparse').size).toBe(1 << 20)
  expect(stat('sparse').blocks).toBeLessThan(64)
  expect(readFileSync(join(at, 'sparse'), 'latin1').slice(1000, 1004)).toBe('head')
  expect(stat('old').mtimeMs).toBe(-5000)
})

/** The model: what there is after each layer, in a plain map. Layers below are hidden before a layer's own files are added. */
type Model = Map<string, string>
const name = fc.constantFrom('a', 'b', 'c')
const path = fc.array(name, { minLength: 1, maxLength: 3 })
const change = fc.oneof(
  fc.record({ kind: fc.constant('file' as const), path, content: fc.constantFrom('1', '2') }),
  fc.record({ kind: fc.constant('directory' as const), path }),
  fc.record({ kind: fc.constant('whiteout' as const), path }),
  fc.record({ kind: fc.constant('opaque' as const), path }),
)
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never

function applied(before: Model, layer: readonly Change[]): { model: Model; entries: Entry[] } {
  const model = new Map(before)
  const own: Model = new Map()
  const entries: Entry[] = []
  const hide = (at: string, itself: boolean): void => {
    for (const key of [...model.keys()]) if ((itself && key === at) || key.startsWith(`${at}/`)) model.delete(key)
  }
  const kept: Change[] = []
  for (const c of layer) {
    const at = c.path.join('/')
    // An archive says of a path once what it is: a file, or a directory.
    const parents = c.path.map((_, n) => c.path.slice(0, n).join('/')).slice(1)
    if (parents.some(p => own.get(p)?.startsWith('file') === true)) continue
    const under = [...own.keys()].some(k => k.startsWith(`${at}/`))
    if (c.kind === 'file' && (own.has(at) || under)) continue
    if (c.kind !== 'file' && c.kind !== 'whiteout' && own.get(at)?.startsWith('file') === true) continue
    for (const p of parents) own.set(p, 'directory')
    if (c.kind === 'file') own.set(at, `file ${c.content}`)
    else if (c.kind !== 'whiteout') own.set(at, 'directory')
    kept.push(c)
  }
  for (const c of kept) {
    const at = c.path.join('/')
    const parent = c.path.slice(0, -1).join('/')
    const base = c.path.at(-1)!
    if (c.kind === 'file') entries.push({ name: at, content: c.content })
    if (c.kind === 'directory') entries.push({ name: `${at}/` })
    if (c.kind === 'opaque') entries.push({ name: `${at}/.wh..wh..opq` })
    if (c.kind === 'whiteout') entries.push({ name: parent === '' ? `.wh.${base}` : `${parent}/.wh.${base}` })
    if (c.kind === 'whiteout') hide(at, true)
    if (c.kind === 'opaque') hide(at, false)
  }
  for (const [at, what] of own) {
    if (what === 'directory' && model.get(at)?.startsWith('file') === true) model.delete(at)
    if (what !== 'directory') hide(at, true)
    model.set(at, what)
  }
  return { model, entries }
}

test('whiteouts and opaque directories over any layers are as in the model', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(change, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 4 }), async layers => {
      let model: Model = new Map()
      const archives: Entry[][] = []
      for (const layer of layers) {
        const next = applied(model, layer)
        model = next.model
        archives.push(next.entries)
      }
      const image = await unpacked(...archives)
      expect(await seen(image)).toEqual(Object.fromEntries(model))
      await store.untag(image.names)
      await store.prune()
    }),
    { numRuns: 15, seed: Number(process.env['SEED'] ?? 12) },
  )
}, 120_000)
