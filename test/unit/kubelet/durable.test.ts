import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { CorruptError, readDurable, readWhole, removeDurable, writeDurable } from '#node-agent/kubelet/pod/durable.ts'

const directory = mkdtempSync(join(tmpdir(), 'durable-'))
afterAll(() => rmSync(directory, { recursive: true }))
const path = join(directory, 'state.json')

test('the newest version is read at once, and gets its name when the disk has it', async () => {
  for (let n = 1; n <= 20; n++) {
    writeDurable(path, { n })
    expect(readDurable(path)).toEqual({ n })
  }
  await expect.poll(() => existsSync(`${path}.new`)).toBe(false)
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({ n: 20 })
})

test.each(['', '{"n": 2', '\0\0\0\0'])('a version that a power loss tore (%j) leaves the one before', torn => {
  writeFileSync(path, '{"n":1}')
  writeFileSync(`${path}.new`, torn)
  expect(readDurable(path)).toEqual({ n: 1 })
})

test('what is nowhere whole is not there', () => expect(readDurable(join(directory, 'none'))).toBeUndefined())

test('what is removed while the disk gets it does not come back', async () => {
  const files = Array.from({ length: 40 }, (_, i) => join(directory, `removed-${i}.json`))
  for (const [turns, file] of files.entries()) {
    writeDurable(file, { n: 1 })
    for (let i = 0; i < turns; i++) await new Promise(setImmediate)
    removeDurable(file)
  }
  // Files are synced one after another.
  writeDurable(path, { n: 21 })
  await expect.poll(() => existsSync(`${path}.new`)).toBe(false)
  expect(files.filter(file => readDurable(file) !== undefined)).toEqual([])
})

test('who has to know is told what is corrupt, and what cannot be read', () => {
  expect(readWhole(join(directory, 'none'))).toBeUndefined()
  expect(readWhole(join(directory, 'none', 'below'))).toBeUndefined()
  const corrupt = join(directory, 'corrupt.json')
  writeFileSync(corrupt, '{"containers": ')
  expect(() => readWhole(corrupt)).toThrow(CorruptError)
  expect(() => readWhole(corrupt)).toThrow(`${corrupt} is corrupt: `)
  // A directory stands for a disk that does not answer: both are errors of read(2).
  expect(() => readWhole(directory)).toThrow(/EISDIR/)
  expect(() => readWhole(directory)).not.toThrow(CorruptError)
})
