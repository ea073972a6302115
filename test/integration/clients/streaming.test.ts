/**
 * exec, attach and port-forward of real clients, against an API server whose kubelet is the test: commands run here, ports are those of
 * this machine.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, connect, type Server } from 'node:net'
import { PassThrough } from 'node:stream'
import { KubeConfig, PortForward } from '@kubernetes/client-node'
import { execa } from 'execa'
import WebSocket from 'ws'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Channel, type Session } from '#shared/bus/session.ts'
import { serveSessions } from '#shared/bus/sessions.ts'
import { nodeSubject } from '#shared/bus/subjects.ts'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'
import { runTool, unpacked, type Ran } from '../../fixtures/kubectl.ts'
import { hasOldKubectl, oldKubectl, runOldKubectl } from '../../fixtures/old-kubectl.ts'
import { addServiceAccount, bindTo, merge, pod, pods } from '../apiserver/setup.ts'

let api: ApiServerFixture
let echo: Server
const forwardings: (() => unknown)[] = []
const port = (): number => (echo.address() as { port: number }).port
const finish = async (session: Session, status: object): Promise<void> => {
  session.end(Channel.stdout)
  session.end(Channel.stderr)
  await session.send(Channel.error, Buffer.from(JSON.stringify({ metadata: {}, ...status })))
  session.end(Channel.error)
}

async function exec(session: Session): Promise<void> {
  const { command } = session.open as { command: string[] }
  const child = spawn(command[0]!, command.slice(1), { stdio: ['pipe', 'pipe', 'pipe'] })
  session.signal.addEventListener('abort', () => child.kill('SIGKILL'))
  child.stdin.on('error', () => {})
  void (async () => {
    for await (const data of session.read(Channel.stdin)) if (!child.stdin.write(data)) await once(child.stdin, 'drain')
    child.stdin.end()
  })().catch(() => {})
  const copy = async (from: AsyncIterable<Uint8Array>, channel: number): Promise<void> => {
    for await (const data of from) await session.send(channel, data)
  }
  const [[code]] = await Promise.all([
    once(child, 'close') as Promise<[number]>,
    copy(child.stdout, Channel.stdout),
    copy(child.stderr, Channel.stderr),
  ])
  const failure = {
    status: 'Failure',
    message: `command terminated with exit code ${code}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(code) }] },
    code: 500,
  }
  await finish(session, code === 0 ? { status: 'Success' } : failure)
}

async function portForward(session: Session): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port: (session.open as { port: number }).port, allowHalfOpen: true })
  try {
    await once(socket, 'connect')
  } catch (e) {
    return finish(session, { status: 'Failure', message: `failed to connect: ${(e as NodeJS.ErrnoException).code}`, code: 500 })
  }
  session.signal.addEventListener('abort', () => socket.destroy())
  void (async () => {
    for await (const data of session.read(Channel.stdin)) socket.write(data)
    socket.end()
  })()
  for await (const data of socket as AsyncIterable<Buffer>) await session.send(Channel.stdout, data)
  await finish(session, { status: 'Success' })
}

/** What a hostile node may say at the end of a log; undefined for an ordinary one. */
let hostileEnd: unknown

async function logs(session: Session): Promise<void> {
  if (hostileEnd !== undefined) return finish(session, hostileEnd as object)
  await session.send(Channel.stdout, Buffer.from('one\n'))
  await session.send(Channel.stdout, Buffer.from('two\n'))
  await finish(session, { status: 'Success' })
}

beforeAll(async () => {
  // What it hears it says, when the other side has finished.
  echo = createServer({ allowHalfOpen: true }, socket => {
    const heard: Buffer[] = []
    socket.on('data', (data: Buffer) => heard.push(data)).on('end', () => socket.end(Buffer.concat([Buffer.from('you said: '), ...heard])))
  }).listen(0, '127.0.0.1')
  api = await startTestApiServer()
  const kubelet = await api.nats.connect('system:node:n1')
  for (const [verb, serve] of [
    ['exec', exec],
    [
      'attach',
      async (s: Session) =>
        exec({
          ...s,
          open: { command: ['cat'] },
          send: s.send.bind(s),
          end: s.end.bind(s),
          read: s.read.bind(s),
          signal: s.signal,
        } as Session),
    ],
    ['portforward', portForward],
    ['logs', logs],
  ] as const)
    serveSessions(kubelet, nodeSubject('system:node:n1', verb), serve)
  await addServiceAccount(api.rest)
  await api.rest('POST', pods, pod('p'))
  await bindTo(api.rest, 'p', 'n1')
  const running = await api.rest(
    'PATCH',
    `${pods}/p/status`,
    {
      status: {
        phase: 'Running',
        containerStatuses: [{ name: 'c', image: 'nginx', imageID: '', ready: true, restartCount: 0, state: { running: {} } }],
      },
    },
    merge,
  )
  expect(running.code).toBe(200)
})
afterAll(async () => {
  for (const kill of forwardings) kill()
  echo?.close()
  await api?.stop()
})

interface Client {
  name: string
  there: boolean
  run: (args: string[], input?: string | Buffer, env?: Record<string, string>) => Promise<Ran>
  binary: () => Promise<string>
}
const new35 = async (): Promise<string> => `${await unpacked()}/kubectl/kubectl`
const clients: Client[] = [
  {
    name: 'kubectl 1.20 (SPDY)',
    there: hasOldKubectl,
    run: (args, input = '') => runOldKubectl(api.kubeconfig, args, { input }),
    binary: async () => oldKubectl,
  },
  {
    name: 'kubectl 1.35 (WebSocket)',
    there: true,
    run: (args, input = '') => runTool('kubectl', api.kubeconfig, args, { input }),
    binary: new35,
  },
  {
    name: 'kubectl 1.35 (SPDY)',
    there: true,
    binary: new35,
    run: (args, input = '') =>
      runTool('kubectl', api.kubeconfig, args, {
        input,
        env: { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' },
      }),
  },
]
const plainPortForward = { KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' }

for (const { name, there, run, binary } of clients) {
  describe.skipIf(!there)(name, () => {
    it('runs a command: output, errors, exit code', async () => {
      expect(await run(['exec', 'p', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7'])).toMatchObject({
        code: 7,
        stdout: 'out',
        stderr: expect.stringMatching(/^err\ncommand terminated with exit code 7/),
      })
    })
    it('carries standard input of any size, and its end', async () => {
      const input = 'all work and no play\n'.repeat(200_000)
      expect((await run(['exec', '-i', 'p', '--', 'wc', '-c'], input)).stdout).toBe(String(input.length))
      const { stdout } = await run(['exec', '-i', 'p', '--', 'cat'], input)
      expect(stdout).toHaveLength(input.length - 1)
    })
    it('attaches', async () => {
      expect((await run(['attach', '-i', 'p'], 'hello\n')).stdout).toContain('hello')
    })
    it('is told what is wrong', async () => {
      expect((await run(['exec', 'p', '-c', 'nope', '--', 'true'])).stderr).toContain('container nope is not valid for pod p')
      expect((await run(['exec', 'q', '--', 'true'])).stderr).toContain('pods "q" not found')
    })
    it('forwards a port: many connections, half-closed ones, and one that is refused', async () => {
      const env = name.includes('(SPDY)') ? plainPortForward : {}
      const forwarding = execa(await binary(), ['port-forward', 'pod/p', `:${port()}`, ':1'], {
        env: { ...process.env, KUBECONFIG: api.kubeconfig, ...env },
        reject: false,
      })
      const ports = await new Promise<number[]>((resolve, reject) => {
        let text = ''
        forwarding.stdout!.on('data', (data: Buffer) => {
          text += String(data)
          const found = [...text.matchAll(/127\.0\.0\.1:(\d+)/g)].map(m => Number(m[1]))
          if (found.length === 2) resolve(found)
        })
        void forwarding.then(ended => reject(new Error(`port-forward ended: ${String(ended.stderr)}`)))
      })
      forwardings.push(() => forwarding.kill())
      const say = async (what: string, to = ports[0]!): Promise<string> => {
        const socket = connect({ host: '127.0.0.1', port: to, allowHalfOpen: true })
        socket.end(what)
        return Buffer.concat(await Array.fromAsync(socket as AsyncIterable<Buffer>)).toString()
      }
      const big = 'x'.repeat(1_000_000)
      const texts = ['a', 'b', big, 'c']
      const said = await Promise.all(texts.map(text => say(text)))
      expect(said.map(s => s.length)).toEqual(texts.map(text => 'you said: '.length + text.length))
      expect(said.every((s, i) => s === `you said: ${texts[i]}`)).toBe(true)
      await say('x', ports[1]).catch(() => '')
      forwarding.kill()
      expect(String((await forwarding).stderr)).toContain('failed to connect: ECONNREFUSED')
    })
  })
}

/** Opens a WebSocket; resolves with the protocol and the messages when it is closed. */
async function messages(path: string, protocols: string[] = []): Promise<{ protocol: string; messages: Buffer[] }> {
  const { ca, admin } = api
  const socket = new WebSocket(`${api.url.replace('https', 'wss')}${path}`, protocols, { ca: ca.cert, cert: admin.cert, key: admin.key })
  const received: Buffer[] = []
  socket.on('message', data => received.push(data as Buffer))
  await once(socket, 'close')
  return { protocol: socket.protocol, messages: received }
}

describe('the log over a WebSocket', () => {
  it('comes as messages of bytes, or in base64', async () => {
    for (const protocols of [[], ['binary.k8s.io']]) {
      const { protocol, messages: received } = await messages(`${pods}/p/log`, protocols)
      expect([protocol, Buffer.concat(received).toString()]).toEqual([protocols[0] ?? '', 'one\ntwo\n'])
    }
    const encoded = await messages(`${pods}/p/log`, ['base64.binary.k8s.io'])
    expect(encoded.messages.map(m => Buffer.from(m.toString(), 'base64').toString()).join('')).toBe('one\ntwo\n')
  })
})

describe('what a node says at the end', () => {
  it('becomes an answer that can be sent, whatever it is', async () => {
    const ends = [{ code: 'x' }, { code: 1e9 }, { code: 500, details: { retryAfterSeconds: 'x\r\ny: z' } }, { message: {}, details: 1 }]
    for (hostileEnd of ends) {
      const { code, body } = await api.rest('GET', `${pods}/p/log`)
      expect([code, body.kind], JSON.stringify(hostileEnd)).toEqual([500, 'Status'])
    }
    hostileEnd = { message: 'x'.repeat(200_000) }
    expect((await api.rest('GET', `${pods}/p/log`)).text).not.toContain('xxx')
    hostileEnd = undefined
  })
})

describe('a WebSocket of channels', () => {
  const exec = (...command: string[]) => `${pods}/p/exec?stdout=true&stderr=true&${command.map(c => `command=${c}`).join('&')}`

  it('tells a success by nothing and a failure in words before v4, by a Status since', async () => {
    const run = async (protocol: string, ...command: string[]) =>
      (await messages(exec(...command), [protocol])).messages.map(m => `${m[0]}${m.subarray(1).toString()}`)
    expect(await run('channel.k8s.io', 'echo', 'hi')).toEqual(['1', '1hi\n'])
    expect(await run('channel.k8s.io', 'false')).toEqual(['1', '3command terminated with exit code 1'])
    const [first, output, end] = await run('v4.channel.k8s.io', 'echo', 'hi')
    expect([first, output, JSON.parse(end!.slice(1))]).toMatchObject(['1', '1hi\n', { status: 'Success' }])
  })

  it('forwards a port, as the clients of other languages do it', async () => {
    const config = new KubeConfig()
    config.loadFromFile(api.kubeconfig)
    const [input, output] = [new PassThrough(), new PassThrough()]
    const errors = new PassThrough()
    const socket = await new PortForward(config, false).portForward('default', 'p', [1], output, errors, input)
    const [why] = (await once(errors, 'data')) as [Buffer]
    expect(String(why)).toContain('failed to connect: ECONNREFUSED')
    if (typeof socket !== 'function') socket?.close()
  })
})
