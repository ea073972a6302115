import { appendFileSync, closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, test } from 'vitest'
import { rotate } from '#control-plane/cli/logs.ts'

test('a long log becomes the old one, and its writer goes on in the same file', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'cox-logs-'))
  try {
    const [long, short] = ['kube-apiserver.log', 'nats-server.log'].map(name => path.join(folder, name)) as [string, string]
    writeFileSync(short, 'few')
    writeFileSync(`${long}.1`, 'older')
    const writer = openSync(long, 'a')
    writeSync(writer, 'much '.repeat(10))
    await rotate(folder, 20)
    writeSync(writer, 'new')
    closeSync(writer)
    expect(readdirSync(folder).sort()).toEqual(['kube-apiserver.log', 'kube-apiserver.log.1', 'nats-server.log'])
    expect([long, `${long}.1`, short].map(file => readFileSync(file, 'utf8'))).toEqual(['new', 'much '.repeat(10), 'few'])
    await rotate(folder, 20)
    appendFileSync(long, '!')
    expect(readFileSync(long, 'utf8')).toBe('new!')
  } finally {
    rmSync(folder, { recursive: true })
  }
})
