/** Connections into a network namespace that this process is not in. */
import assert from 'node:assert/strict'
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readdirSync } from 'node:fs'
import type { Socket } from 'node:net'
import { connectIn } from '#node-agent/kubelet/sessions/connector.ts'
import type { Scenario } from '../../fixtures/in-node.ts'

const namespace = '/run/netns/pod'
const never = new AbortController().signal
const text = async (socket: Socket): Promise<string> => Buffer.concat(await Array.fromAsync(socket as AsyncIterable<Buffer>)).toString()
/** Processes that were made to connect. */
const connectors = (): string[] =>
  readdirSync('/proc').filter(pid => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes("process.on('disconnect'")
    } catch {
      return false
    }
  })

let server: ChildProcess

export const scenario: Scenario = {
  async 'a server on the loopback interface of the pod'() {
    execFileSync('ip', ['netns', 'add', 'pod'])
    execFileSync('ip', ['-n', 'pod', 'link', 'set', 'lo', 'up'])
    // It speaks first, and answers when the client has ended its side.
    const script = `require('node:net').createServer({ allowHalfOpen: true }, s => {
      s.write('hello ')
      let n = 0
      s.on('data', d => (n += d.length)).on('end', () => s.end(String(n)))
    }).listen(8080, '127.0.0.1', () => process.stdout.write('up'))`
    server = spawn('ip', ['netns', 'exec', 'pod', process.execPath, '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(server.stdout!, 'data')
  },
  async 'is reached, says the first word and hears the last'() {
    const socket = await connectIn(namespace, 8080, never)
    socket.write('12345')
    socket.end('678')
    assert.equal(await text(socket), 'hello 8')
  },
  async 'many at once are one process; large ones come whole'() {
    const all = await Promise.all(Array.from({ length: 20 }, () => connectIn(namespace, 8080, never)))
    assert.equal(connectors().length, 1)
    for (const socket of all) socket.end(Buffer.alloc(3 << 20))
    assert.deepEqual(
      await Promise.all(all.map(text)),
      all.map(() => `hello ${3 << 20}`),
    )
  },
  async 'nobody listens there, nor in the node itself'() {
    await assert.rejects(connectIn(namespace, 8081, never), /ECONNREFUSED/)
    await assert.rejects(connectIn('node', 8080, never), /ECONNREFUSED/)
    await assert.rejects(connectIn('/run/netns/none', 8080, never), /cannot be entered/)
    await assert.rejects(connectIn(namespace, 8080, AbortSignal.abort(new Error('gone'))), /gone/)
  },
  async 'the process goes when nobody needs it, and with the namespace'() {
    for (const end = Date.now() + 20_000; connectors().length > 0;) {
      assert.ok(Date.now() < end, 'a process is left')
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    server.kill('SIGKILL')
  },
}
