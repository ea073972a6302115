/** What is written to and read from real files: atomic writer, ownership, subPath, logs. */
import {
  appendFile,
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Container } from '#shared/api/core/podspec/container.ts'
import { terminationMessage } from '#node-agent/kubelet/container/terminationmessage.ts'
import { parseLine } from '#node-agent/kubelet/logs/cri.ts'
import { readLog, type LogOptions } from '#node-agent/kubelet/logs/read.ts'
import { rotateLog } from '#node-agent/kubelet/logs/rotate.ts'
import { atomicWrite } from '#node-agent/kubelet/volumes/atomicwriter.ts'
import { hostPath } from '#node-agent/kubelet/volumes/hostpath.ts'
import { ownByGroup } from '#node-agent/kubelet/volumes/ownership.ts'
import { configMapFiles } from '#node-agent/kubelet/volumes/payload.ts'
import { resolveSubPath } from '#node-agent/kubelet/volumes/subpath.ts'

let root: string
let dir: string
let n = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'kubelet-files-'))
})
beforeEach(async () => {
  dir = join(root, String(n++))
  await mkdir(dir)
})
afterAll(() => rm(root, { recursive: true }))

const payload = (files: { [path: string]: string }) =>
  new Map(Object.entries(files).map(([path, text]) => [path, { data: Buffer.from(text), mode: 0o640 }]))

describe('atomicWrite', () => {
  test('files are seen through ..data and change at once', async () => {
    expect(await atomicWrite(dir, payload({ a: '1', 'd/e': '2' }))).toBe(true)
    expect(await readFile(join(dir, 'a'), 'utf8')).toBe('1')
    expect(await readFile(join(dir, 'd/e'), 'utf8')).toBe('2')
    expect(await readlink(join(dir, 'a'))).toBe('..data/a')
    expect((await stat(join(dir, 'a'))).mode & 0o777).toBe(0o640)
    const before = await readlink(join(dir, '..data'))
    expect(await atomicWrite(dir, payload({ a: '1', 'd/e': '2' }))).toBe(false)
    expect(await readlink(join(dir, '..data'))).toBe(before)
    expect(await atomicWrite(dir, payload({ a: 'new' }))).toBe(true)
    expect(await readFile(join(dir, 'a'), 'utf8')).toBe('new')
    const names = await readdir(dir)
    expect(names.filter(name => !name.startsWith('..'))).toEqual(['a'])
    expect(names).toHaveLength(3)
  })
  test('a group has its directories, and may read its files', async () => {
    const modes = (...names: string[]) =>
      Promise.all(names.map(name => stat(join(dir, name)).then(s => [s.gid, (s.mode & 0o7777).toString(8)])))
    await chmod(dir, 0o755)
    await atomicWrite(dir, new Map([['d/e/f', { data: Buffer.from('1'), mode: 0o600 }]]), 4242)
    expect(await modes('.', '..data/.', 'd/.', 'd/e', 'd/e/f')).toEqual([...Array.from({ length: 4 }, () => [4242, '2755']), [4242, '640']])
    expect(await atomicWrite(dir, new Map([['d/e/f', { data: Buffer.from('1'), mode: 0o600 }]]), 4242)).toBe(false)
  })
  test('paths that lead out are refused', async () => {
    for (const path of ['../x', '/x', 'a/../../x', ''])
      await expect(atomicWrite(dir, payload({ [path]: 'x' }))).rejects.toThrow('invalid path')
  })
})

test('items choose keys; a missing one is an error unless optional', () => {
  const found = { apiVersion: 'v1', kind: 'ConfigMap', metadata: {}, data: { k: 'v' }, binaryData: { b: 'AAE=' } }
  expect([...configMapFiles('c', found, {}).keys()]).toEqual(['k', 'b'])
  expect(configMapFiles('c', found, { items: [{ key: 'k', path: 'x/y', mode: 0o600 }] }).get('x/y')).toMatchObject({ mode: 0o600 })
  expect(() => configMapFiles('c', found, { items: [{ key: 'no', path: 'x' }] })).toThrow('references non-existent config key: no')
  expect(() => configMapFiles('c', undefined, {})).toThrow('configmap "c" not found')
  expect(configMapFiles('c', undefined, { optional: true }).size).toBe(0)
})

test('fsGroup owns everything in the volume', async () => {
  await mkdir(join(dir, 'sub'))
  await writeFile(join(dir, 'sub/f'), '')
  await chmod(join(dir, 'sub/f'), 0o600)
  await ownByGroup(dir, 4242)
  expect(await lstat(join(dir, 'sub/f')).then(s => [s.gid, s.mode & 0o777])).toEqual([4242, 0o660])
  expect(await lstat(join(dir, 'sub')).then(s => [s.gid, s.mode & 0o7070])).toEqual([4242, 0o2070])
})

test('subPath stays inside its volume', async () => {
  expect(await resolveSubPath(dir, 'a/b')).toBe(join(dir, 'a/b'))
  await symlink('/etc', join(dir, 'out'))
  await symlink('a', join(dir, 'in'))
  expect(await resolveSubPath(dir, 'in/b')).toBe(join(dir, 'a/b'))
  for (const path of ['out/passwd', '../x', '/etc']) await expect(resolveSubPath(dir, path)).rejects.toThrow('leads out of its volume')
})

test('hostPath types', async () => {
  await writeFile(join(dir, 'f'), '')
  const setUp = (path: string, type: string) =>
    hostPath.setUp({ volume: { name: 'v', hostPath: { path, type } }, facts: { rootDir: dir } } as never)
  await expect(setUp(join(dir, 'f'), 'Directory')).rejects.toThrow(`hostPath type check failed: ${join(dir, 'f')} is not a directory`)
  await expect(setUp(join(dir, 'no'), 'File')).rejects.toThrow('is not a file')
  await expect(setUp(dir, 'Socket')).rejects.toThrow('is not a socket file')
  await expect(setUp(dir, 'CharDevice')).rejects.toThrow('is not a character device')
  expect(await setUp('/dev/null', 'CharDevice')).toBe('/dev/null')
  // The kubelet's own, wherever its state is.
  expect(await setUp('/var/lib/kubelet/device-plugins/', 'DirectoryOrCreate')).toBe(join(dir, 'device-plugins'))
  await expect(setUp('/var/lib/kubelet/device-plugins/../../x', 'Directory')).rejects.toThrow('/var/lib/kubelet/device-plugins/../../x')
  for (const [name, type] of [
    ['d1', 'DirectoryOrCreate'],
    ['d2', ''],
  ] as const) {
    await setUp(join(dir, name), type)
    expect((await stat(join(dir, name))).isDirectory()).toBe(true)
  }
  await expect(setUp(join(dir, 'x/f2'), 'FileOrCreate')).rejects.toThrow(`open ${join(dir, 'x/f2')}: no such file or directory`)
  await setUp(join(dir, 'f2'), 'FileOrCreate')
  expect((await stat(join(dir, 'f2'))).isFile()).toBe(true)
})

describe('logs', () => {
  const line = (i: number, text: string, tag = 'F', stream = 'stdout') =>
    `2026-01-01T00:00:${String(i).padStart(2, '0')}.000000000+00:00 ${stream} ${tag} ${text}\n`
  const bytes = async (path: string, options: LogOptions) => {
    const out: Buffer[] = []
    await readLog({ path, ended: Promise.resolve() }, options, async (_, data) => void out.push(data), new AbortController().signal)
    return Buffer.concat(out)
  }
  const read = async (path: string, options: LogOptions) => (await bytes(path, options)).toString()
  test('lines of the format', () => {
    expect(parseLine('2026-01-01T00:00:00Z stdout F hello world')).toEqual({
      time: '2026-01-01T00:00:00Z',
      stream: 'stdout',
      partial: false,
      text: 'hello world',
    })
    expect(parseLine('2026-01-01T00:00:00Z stderr P ')).toMatchObject({ partial: true, text: '' })
    for (const bad of ['', 'x', 'a b c d', '2026 stdin F x']) expect(parseLine(bad)).toBeUndefined()
  })
  test('what was written comes as it is: bytes that are no text, and a letter that was torn in two', async () => {
    const path = join(dir, '0.log')
    const letter = Buffer.from('ä')
    const entry = (tag: string, ...content: number[]): Buffer =>
      Buffer.concat([Buffer.from(line(1, '', tag).slice(0, -1)), Buffer.from(content), Buffer.from('\n')])
    await writeFile(path, Buffer.concat([entry('F', 0xff, 0x00, 0xfe), entry('P', letter[0]!), entry('F', letter[1]!)]))
    expect(await bytes(path, {})).toEqual(Buffer.from([0xff, 0x00, 0xfe, 0x0a, ...letter, 0x0a]))
  })
  test('the last words of a container that failed are the end of its output, however long its lines are', async () => {
    const path = join(dir, '0.log')
    const container = { name: 'c', terminationMessagePolicy: 'FallbackToLogsOnError' } as Container
    const words = (): Promise<string> => terminationMessage(container, 1, join(dir, 'none'), path)
    await writeFile(path, line(1, 'a'.repeat(60_000), 'P') + line(1, `${'b'.repeat(60_000)}end`, 'P'))
    expect(await words()).toBe(`${'b'.repeat(2045)}end`)
    // As many bytes, not letters.
    await writeFile(path, line(1, 'ä'.repeat(2000)))
    expect(await words()).toMatch(/^\uFFFDä{1023}\n$/)
    await writeFile(path, Array.from({ length: 100 }, (_, i) => line(1, String(i))).join(''))
    expect((await words()).split('\n').slice(0, 2)).toEqual(['20', '21'])
  })
  test('tail, since, timestamps, limit, partial lines', async () => {
    const path = join(dir, '0.log')
    await writeFile(path, line(1, 'one') + line(2, 'tw', 'P') + line(2, 'o') + line(3, 'three'))
    expect(await read(path, {})).toBe('one\ntwo\nthree\n')
    expect(await read(path, { tailLines: 1 })).toBe('three\n')
    expect(await read(path, { tailLines: 0 })).toBe('')
    expect(await read(path, { tailLines: 99 })).toBe('one\ntwo\nthree\n')
    expect(await read(path, { since: new Date('2026-01-01T00:00:03Z') })).toBe('three\n')
    expect(await read(path, { limitBytes: 5 })).toBe('one\nt')
    expect(await read(path, { timestamps: true, tailLines: 1 })).toBe('2026-01-01T00:00:03.000000000Z three\n')
    expect(await read(join(dir, 'no.log'), {})).toBe('')
  })
  test('the streams keep their order', async () => {
    const path = join(dir, '0.log')
    await writeFile(path, line(1, 'a') + line(2, 'b', 'F', 'stderr') + line(3, 'c', 'F', 'stderr') + line(4, 'd'))
    const pieces: string[] = []
    const collect = async (options: LogOptions) => {
      pieces.length = 0
      await readLog(
        { path, ended: Promise.resolve() },
        options,
        async (stream, data) => void pieces.push(`${stream} ${data.toString()}`),
        new AbortController().signal,
      )
      return pieces
    }
    expect(await collect({})).toEqual(['stdout a\n', 'stderr b\nc\n', 'stdout d\n'])
    expect(await collect({ merged: true })).toEqual(['stdout a\nb\nc\nd\n'])
  })
  test('rotated files come first', async () => {
    const path = join(dir, '0.log')
    await writeFile(`${path}.20260101-000000`, line(1, 'old'))
    await writeFile(path, line(2, 'new'))
    expect(await read(path, {})).toBe('old\nnew\n')
    expect(await read(path, { tailLines: 1 })).toBe('new\n')
    expect(await read(path, { tailLines: 2 })).toBe('old\nnew\n')
  })
  test('following goes on across rotation and ends with the container', async () => {
    const path = join(dir, '0.log')
    await writeFile(path, line(1, 'a'))
    const { promise: ended, resolve: end } = Promise.withResolvers<void>()
    let out = ''
    const arrived = new Map<string, () => void>()
    const arrival = (text: string) => new Promise<void>(resolve => (out.includes(text) ? resolve() : arrived.set(text, resolve)))
    const done = readLog(
      { path, ended },
      { follow: true },
      async (_, data) => {
        out += data.toString()
        for (const [text, resolve] of arrived) if (out.includes(text)) resolve()
      },
      new AbortController().signal,
    )
    await arrival('a\n')
    await appendFile(path, line(2, 'b'))
    await arrival('b\n')
    await rotateLog({ reopenLog: () => writeFile(path, '') } as never, dir, path, { maxBytes: 1, maxFiles: 3 })
    await appendFile(path, line(3, 'c'))
    await arrival('c\n')
    await appendFile(path, line(4, 'd'))
    end()
    await done
    expect(out).toBe('a\nb\nc\nd\n')
  })
  test('rotation keeps so many files', async () => {
    const path = join(dir, '0.log')
    for (const i of [1, 2, 3, 4]) await writeFile(`${path}.2026010${i}-000000`, '')
    await writeFile(path, 'x')
    expect(await rotateLog({ reopenLog: () => writeFile(path, '') } as never, dir, path, { maxBytes: 1, maxFiles: 3 })).toBe(true)
    expect(await readdir(dir)).toHaveLength(3)
    expect(await rotateLog({ reopenLog: () => rename('', '') } as never, dir, path, { maxBytes: 1, maxFiles: 3 })).toBe(false)
  })
})
