import { mkdtemp, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { builtinImages } from '#node-agent/runtime/images/builtin.ts'
import { findImage, missing, openCatalogue } from '#node-agent/runtime/images/catalogue.ts'
import { parseCatalogue } from '#node-agent/runtime/images/catalogue-file.ts'
import { parseReference } from '#node-agent/runtime/images/reference.ts'
import { ImageError } from '#node-agent/runtime/imageservice.ts'

describe('image names', () => {
  test.each([
    ['busybox', 'docker.io/library/busybox:latest'],
    ['busybox:1.36', 'docker.io/library/busybox:1.36'],
    ['curlimages/curl', 'docker.io/curlimages/curl:latest'],
    ['registry.k8s.io/e2e-test-images/agnhost:2.40', 'registry.k8s.io/e2e-test-images/agnhost:2.40'],
    ['localhost:5000/a/b', 'localhost:5000/a/b:latest'],
    ['localhost/b:x', 'localhost/b:x'],
    [`nginx@sha256:${'a'.repeat(64)}`, `docker.io/library/nginx@sha256:${'a'.repeat(64)}`],
    [`nginx:1@sha256:${'a'.repeat(64)}`, `docker.io/library/nginx:1@sha256:${'a'.repeat(64)}`],
  ])('%s is %s', (name, canonical) => expect(parseReference(name).canonical).toBe(canonical))

  test.each(['', 'Foo', 'a b', ':x', 'a:', 'a@b', 'a//b', '/a', 'a/', 'nginx:lat est', '-a', 'http://x/y', 'a:b:c'])('%j is none', name => {
    expect(() => parseReference(name)).toThrow(ImageError)
    expect(() => parseReference(name)).toThrow(`couldn't parse image name "${name}": invalid reference format`)
  })
  test('nothing else is ever thrown', () => {
    fc.assert(
      fc.property(fc.string(), text => {
        try {
          parseReference(text)
        } catch (error) {
          expect(error).toBeInstanceOf(ImageError)
        }
      }),
    )
  })
})

describe('the catalogue', () => {
  const cmdOf = (path: string) => findImage(builtinImages, path)?.names[0]
  test('finds everyday names below any prefix, the longest first', () => {
    expect(cmdOf('library/busybox')).toBe('busybox')
    expect(cmdOf('quay.example/mirror/library/nginx')).toBe('nginx')
    expect(cmdOf('e2e-test-images/agnhost')).toBe('agnhost')
    expect(cmdOf('ealen/echo-server')).toBe('ealen/echo-server')
    expect(cmdOf('mynginx')).toBeUndefined()
  })
  test('an image of another publisher is another image', () => {
    for (const path of ['calico/node', 'bitnami/nginx', 'bitnami/redis', 'acme/busybox', 'node/exporter', 'library/nginx/extra'])
      expect(cmdOf(path)).toBeUndefined()
    for (const path of ['nginx', 'docker/library/nginx', 'e2e-test-images/nginx', 'google_containers/nginx'])
      expect(cmdOf(path)).toBe('nginx')
    const own = [...builtinImages, { names: ['node'], cmd: ['own'] }]
    expect(findImage(own, 'calico/node')?.cmd).toEqual(['own'])
  })
  test('no two images share a name', () => {
    const names = builtinImages.flatMap(i => i.names)
    expect(new Set(names).size).toBe(names.length)
  })
  test('says what the node lacks', () => {
    expect(missing({ names: ['x'], requires: [{ binary: 'sh', package: 'dash' }, { binary: 'no-such-tool', package: 'tools' }] })).toBe('the node has no no-such-tool (Debian package tools)') // prettier-ignore
    expect(missing({ names: ['x'] })).toBeUndefined()
  })
  test('an unknown image is refused in the words of a pull', async () => {
    const { resolve } = await openCatalogue({ layersDirectory: '/nonexistent' })
    await expect(resolve('foo:1')).rejects.toThrow(
      'failed to pull and unpack image "docker.io/library/foo:1": failed to resolve reference "docker.io/library/foo:1": docker.io/library/foo:1: not found: ',
    )
    await expect(resolve('foo:1')).rejects.toThrow('`docker save foo:1 | cox image load -` brings it, `cox image map foo PROGRAM...` runs')
    await expect(resolve('FOO')).rejects.toMatchObject({ reason: 'InvalidImageName' })
  })
  test('ids are stable', async () => {
    const ids = await Promise.all(
      [1, 2].map(async () => (await (await openCatalogue({ layersDirectory: '/nonexistent' })).resolve('registry.k8s.io/pause:3.10')).id),
    )
    expect(ids[0]).toBe(ids[1])
    expect(ids[0]).toMatch(/^host-image:\/\/pause@sha256:[0-9a-f]{64}$/)
  })
})

describe('a catalogue of the user’s', () => {
  test('extends the built-in one', () => {
    const text =
      'images:\n- names: [acme/tool]\n  entrypoint: [/bin/sh]\n  env: [A=b]\n  files:\n    /etc/tool: {content: x}\n    /bin/t: {symlink: /bin/sh}\n'
    const own = parseCatalogue(text, 'f.yaml')
    expect(findImage([...builtinImages, ...own], 'acme/tool')?.env).toEqual(['A=b'])
  })
  test('copies programs of the node; another program is another image', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'catalogue-'))
    const file = join(dir, 'images.yaml')
    await writeFile(join(dir, 'tool'), 'one', { mode: 0o755 })
    await writeFile(file, `images:\n- names: [acme/tool]\n  files:\n    /bin/acme: {copy: ${dir}/tool}\n`)
    const pull = async () => (await openCatalogue({ layersDirectory: join(dir, 'layers'), file })).resolve('acme/tool')
    const first = await pull()
    const bin = await realpath('/bin')
    expect(await readFile(join(first.layers![0]!, bin, 'acme'), 'utf8')).toBe('one')
    expect((await stat(join(first.layers![0]!, bin, 'acme'))).mode & 0o777).toBe(0o755)
    await writeFile(join(dir, 'tool'), 'another')
    expect((await pull()).id).not.toBe(first.id)
    await rm(dir, { recursive: true })
  })
  test.each([
    ['images: [', 'f.yaml: '],
    ['[]', 'f.yaml: the file: '],
    ['images:\n- names: []', 'f.yaml: images.0.names: '],
    ['images:\n- names: [x]\n  workingDir: here', 'f.yaml: images.0.workingDir: must be an absolute path'],
    ['images:\n- names: [x]\n  comand: [y]', 'f.yaml: images.0: Unrecognized key: "comand"'],
  ])('%j is one clear line', (text, message) => {
    expect(() => parseCatalogue(text, 'f.yaml')).toThrow(message)
    try {
      parseCatalogue(text, 'f.yaml')
    } catch (error) {
      expect((error as Error).message).not.toContain('\n')
    }
  })
})
