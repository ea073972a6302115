import { mkdir, mkdtemp, readdir, rename, rm, rmdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadArchive, loadPath } from '#node-agent/runtime/images/archive.ts'
import { openImageStore, type ImageStore } from '#node-agent/runtime/images/imagestore.ts'
import { saveArchive } from '#node-agent/runtime/images/savearchive.ts'
import { digestOf, documentsOf, gzip, symlink, tarOf, zstd, type Entry } from '../../fixtures/images.ts'

let directory: string
let store: ImageStore
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'load-'))
  store = await openImageStore(join(directory, 'store'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

async function* chunks(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 777) yield await Promise.resolve(bytes.subarray(at, at + 777))
}
const layers = [tarOf([{ name: 'a', content: 'a' }]), tarOf([{ name: 'b', content: 'b' }])]
const { manifest, config, blobs } = documentsOf({ layers, config: { Cmd: ['/a'] } })
const hex = (bytes: Buffer): string => digestOf(bytes).slice(7)

/** What docker before 25 wrote: a directory a layer, one of which may be a link to another's. */
const oldDocker = (tags: string[] | null = ['acme/app:1', 'acme/app:latest']): Entry[] => [
  { name: `${hex(config)}.json`, content: config },
  { name: '1/' },
  { name: '1/layer.tar', content: layers[0]! },
  { name: '2/layer.tar', content: layers[1]! },
  symlink('3/layer.tar', '../2/layer.tar'),
  {
    name: 'manifest.json',
    content: JSON.stringify([{ Config: `${hex(config)}.json`, RepoTags: tags, Layers: ['1/layer.tar', '3/layer.tar'] }]),
  },
  { name: 'repositories', content: '{}' },
]
const layout = (annotations: Record<string, string>, mediaType = 'application/vnd.oci.image.manifest.v1+json'): Entry[] => [
  ...[...blobs.values()].map(bytes => ({ name: `blobs/sha256/${hex(bytes)}`, content: bytes })),
  { name: 'oci-layout', content: '{"imageLayoutVersion":"1.0.0"}' },
  {
    name: 'index.json',
    content: JSON.stringify({
      schemaVersion: 2,
      manifests: [{ mediaType, digest: digestOf(manifest), size: manifest.length, annotations }],
    }),
  },
]
const named = { 'io.containerd.image.name': 'docker.io/acme/app:2', 'org.opencontainers.image.ref.name': '2' }

describe('cox image load', () => {
  test.each([
    ['as it is', (b: Buffer) => b],
    ['gzip', gzip],
    ['zstd', zstd],
  ])('what docker saved, %s', async (_, compress) => {
    const images = await loadArchive(store, chunks(compress(tarOf(oldDocker()))))
    expect(images.map(i => i.names)).toEqual([['docker.io/acme/app:1', 'docker.io/acme/app:latest']])
    expect(images[0]!.id).toBe(digestOf(config))
    expect((await store.find('acme/app'))?.config.config?.Cmd).toEqual(['/a'])
    expect(await store.find(digestOf(config))).toMatchObject({ id: digestOf(config) })
    expect(await store.find('other/app')).toBeUndefined()
    const [top, bottom] = (await store.layers(images[0]!)).layers
    expect([await readdir(top!.directory), await readdir(bottom!.directory)]).toEqual([['b'], ['a']])
  })

  test('an OCI layout, as an archive and as a directory', async () => {
    const [image] = await loadArchive(store, chunks(tarOf(layout(named))))
    expect(image!.names).toEqual(['docker.io/acme/app:2'])
    expect(image!.manifest).toBe(digestOf(manifest))
    const at = join(directory, 'layout')
    for (const { name, content = '' } of layout({ ...named, 'io.containerd.image.name': 'localhost:5000/x:3' })) {
      await mkdir(dirname(join(at, name)), { recursive: true })
      await writeFile(join(at, name), content)
    }
    const [other] = await loadPath(store, at)
    expect(other!.names).toContain('localhost:5000/x:3')
    expect((await store.find('acme/app:2'))!.names.sort()).toEqual(['docker.io/acme/app:2', 'localhost:5000/x:3'])
  })

  test('an index of several platforms: this machine’s', async () => {
    const other = documentsOf({ layers: layers.slice(1), architecture: 's390x' })
    const at = (bytes: Buffer, architecture: string) => ({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: digestOf(bytes),
      size: bytes.length,
      platform: { os: 'linux', architecture },
    })
    const goArch = process.arch === 'x64' ? 'amd64' : process.arch
    const index = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [at(other.manifest, 's390x'), at(manifest, goArch)] }))
    const entries: Entry[] = [...blobs.values(), ...other.blobs.values(), index].map(bytes => ({
      name: `blobs/sha256/${hex(bytes)}`,
      content: bytes,
    }))
    const top = { schemaVersion: 2, manifests: [{ mediaType: '', digest: digestOf(index), size: index.length, annotations: named }] }
    const [image] = await loadArchive(store, chunks(tarOf([...entries, { name: 'index.json', content: JSON.stringify(top) }])))
    expect(image!.manifest).toBe(digestOf(manifest))
    await expect(
      loadArchive(store, chunks(tarOf([...entries, { name: 'index.json', content: JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: '', digest: digestOf(other.manifest), size: other.manifest.length, annotations: named }] }) }]))), // prettier-ignore
    ).rejects.toThrow('the image is for linux/s390x')
  })

  test('what is saved can be loaded again', async () => {
    const [image] = await loadArchive(store, chunks(tarOf(oldDocker())))
    const parts: Buffer[] = []
    for await (const part of saveArchive(store, [{ image: image!, names: image!.names }])) parts.push(part)
    const second = await openImageStore(join(directory, 'second'))
    const [again] = await loadArchive(second, chunks(Buffer.concat(parts)))
    expect(again).toMatchObject({ id: image!.id, manifest: image!.manifest, names: image!.names })
  })

  test('names: given, missing, and with a digest', async () => {
    const nameless = tarOf(oldDocker(null))
    await expect(loadArchive(store, chunks(nameless))).rejects.toThrow('the archive does not name its image; give it a name (--name)')
    const [image] = await loadArchive(store, chunks(nameless), { names: ['given'] })
    expect(image!.names).toEqual(['docker.io/library/given:latest'])
    await expect(loadArchive(store, chunks(nameless), { names: [`x@sha256:${'0'.repeat(64)}`] })).rejects.toThrow('not a digest')
  })

  test.each([
    ['a file system', tarOf([{ name: 'etc/passwd', content: '' }]), 'the archive is no image'],
    ['cut off', tarOf(oldDocker()).subarray(0, 3000), 'is cut off'],
    ['cut off within gzip', gzip(tarOf(oldDocker())).subarray(0, 400), 'the archive is damaged: unexpected end of file'],
    ['nothing', Buffer.alloc(0), 'the archive is no image'],
    ['text', Buffer.from('hello\n'.repeat(200)), 'the archive is damaged'],
    ['xz', Buffer.from('fd377a585a000000', 'hex'), 'xz is not a compression'],
    ['without a layer', tarOf(oldDocker().filter(e => e.name !== '1/layer.tar')), 'the archive has no 1/layer.tar'],
    ['a blob that is another', tarOf([...layout(named), { name: `blobs/sha256/${'0'.repeat(64)}`, content: 'x' }]), 'has another digest'],
    ['links in circles', tarOf([symlink('a', 'b'), symlink('b', 'a'), { name: 'manifest.json', content: '[{"Config":"a","Layers":[]}]' }]), 'the archive has no a'], // prettier-ignore
  ])('refuses %s', async (_, bytes, why) => {
    await expect(loadArchive(store, chunks(bytes))).rejects.toThrow(why)
    expect(await store.list()).toEqual([])
    await store.prune()
    expect(await readdir(join(directory, 'store/blobs/sha256'))).toEqual([])
    expect(await readdir(join(directory, 'store/ingest'))).toEqual([])
  })

  test('what no name needs goes, what another name needs stays', async () => {
    await loadArchive(store, chunks(tarOf(oldDocker())))
    expect(await store.untag(['docker.io/acme/app:1', 'docker.io/none'])).toEqual(['docker.io/acme/app:1'])
    // Lists of what is in the archive, which are no part of an image.
    await store.prune()
    expect(await store.prune()).toBe(0)
    expect((await store.usage()).usedBytes).toBeGreaterThan(0)
    await store.untag(['docker.io/acme/app:latest'])
    expect(await store.prune()).toBeGreaterThan(0)
    expect(await readdir(join(directory, 'store/layers'))).toEqual([])
    expect(await store.usage()).toEqual({ usedBytes: 0, inodesUsed: 0 })
  })

  test('what cannot be read for a moment is not taken for unneeded', async () => {
    const [image] = await loadArchive(store, chunks(tarOf(oldDocker())))
    // What only the archive needed.
    await store.prune()
    const what = async () => [await readdir(join(directory, 'store/blobs/sha256')), await readdir(join(directory, 'store/layers'))]
    const before = await what()
    const { layers } = await store.layers(image!)
    for (const file of [store.content.blobPath(image!.manifest), join(dirname(layers[0]!.directory), 'layer.json')]) {
      // Another process, which has not read it yet. What is read is no file, until it is again.
      const other = await openImageStore(join(directory, 'store'))
      await rename(file, join(directory, 'away'))
      await mkdir(file)
      await expect(other.prune()).rejects.toThrow('EISDIR')
      await rmdir(file)
      await rename(join(directory, 'away'), file)
      expect(await what()).toEqual(before)
      expect(await other.prune()).toBe(0)
      expect((await other.find('acme/app'))?.id).toBe(image!.id)
    }
  })

  test('layers that got lost are unpacked again', async () => {
    const [image] = await loadArchive(store, chunks(tarOf(oldDocker())))
    // Not removed: some may be on their way to the disk.
    await rename(join(directory, 'store/layers'), join(directory, 'store/lost'))
    await mkdir(join(directory, 'store/layers'))
    expect(await (await openImageStore(join(directory, 'store'))).find('acme/app:1')).toMatchObject({ id: image!.id })
    expect(await readdir(join(directory, 'store/layers'))).toHaveLength(2)
  })
})
