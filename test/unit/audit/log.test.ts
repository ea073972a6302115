import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openAuditLog, type AuditLogOptions } from '#control-plane/apiserver/audit/log.ts'
import { logger } from '#shared/component/log.ts'

let dir: string
beforeEach(async () => void (dir = await mkdtemp(join(tmpdir(), 'audit-log-'))))
afterEach(() => rm(dir, { recursive: true, force: true }))

const quiet = logger('test')
quiet.level = 'silent'
const open = (o: Partial<AuditLogOptions> = {}) =>
  openAuditLog({ path: join(dir, 'audit.log'), maxBytes: 100, maxBackups: 0, maxAgeMs: 0, compress: false, ...o }, quiet)
const line = (n: number): string => `{"n":"${String(n).padStart(20, '0')}"}`
const text = async (name: string): Promise<string> => {
  const data = await readFile(join(dir, name))
  return (name.endsWith('.gz') ? gunzipSync(data) : data).toString()
}

test('lines are written in order, over files of the size that was asked for', async () => {
  const log = await open()
  for (let n = 0; n < 20; n++) expect(log.write(line(n))).toBe(true)
  await log.close()
  const names = (await readdir(dir)).sort()
  expect(names.length).toBeGreaterThan(5)
  expect(names.at(-1)).toBe('audit.log')
  expect(names[0]).toMatch(/^audit-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.log$/)
  const texts = await Promise.all(names.map(text))
  for (const t of texts) expect(t.length).toBeLessThanOrEqual(100)
  expect(texts.join('')).toBe(Array.from({ length: 20 }, (_, n) => `${line(n)}\n`).join(''))
})

test('a file that is there goes on; old and surplus ones go, others stay', async () => {
  await writeFile(join(dir, 'audit.log'), `${line(1)}\n`)
  await writeFile(join(dir, 'audit-2020-01-01T00-00-00.000.log'), 'old')
  await writeFile(join(dir, 'audit-notes.log'), 'other')
  const log = await open({ maxBackups: 2, maxAgeMs: 86_400_000, compress: true })
  for (let n = 2; n < 20; n++) log.write(line(n))
  await log.close()
  const names = (await readdir(dir)).sort()
  expect(names).toContain('audit-notes.log')
  expect(names.filter(n => n.endsWith('.log.gz'))).toHaveLength(2)
  expect(names).toHaveLength(4)
  expect(await text(names[0]!)).toContain('{"n":')
})

test('an event that is longer than a file has one of its own', async () => {
  const log = await open({ maxBytes: 10 })
  for (let n = 0; n < 3; n++) log.write(line(n))
  await log.close()
  expect(await readdir(dir)).toHaveLength(3)
})

test('what waits is bounded: more is lost, and said so', async () => {
  const log = await open({ bufferBytes: 60, maxBytes: 1000 })
  expect([log.write(line(0)), log.write(line(1)), log.write(line(2))]).toEqual([true, true, false])
  await log.close()
  expect(await text('audit.log')).toBe(`${line(0)}\n${line(1)}\n`)
  expect(log.write(line(3))).toBe(false)
})
