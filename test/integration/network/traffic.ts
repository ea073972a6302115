/** Programs in network namespaces that serve and ask, for scenarios of in-node.ts. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'

const inNamespace = (namespace: string, code: string): ChildProcess => {
  const [command, ...args] = [...(namespace === '' ? [] : ['ip', 'netns', 'exec', namespace]), process.execPath, '-e', code]
  return spawn(command!, args, { stdio: ['pipe', 'pipe', 'inherit'] })
}

/** Answers every connection and every datagram on these ports with the caller's address, and all that comes later with itself. */
export async function serve(namespace: string, ports: readonly number[]): Promise<void> {
  const code = `const ports = ${JSON.stringify(ports)}; let left = ports.length * 2; const up = () => --left || console.log('up')
    for (const port of ports) {
      require('net').createServer(s => { s.on('error', () => {}); s.write(s.remoteAddress + '\\n'); s.pipe(s) }).listen(port, '0.0.0.0', up)
      const u = require('dgram').createSocket('udp4'); u.on('message', (_, r) => u.send(r.address, r.port, r.address)); u.bind(port, '0.0.0.0', up)
    }`
  const server = inNamespace(namespace, code)
  await new Promise(resolve => server.stdout!.once('data', resolve))
}

export interface Asker {
  /** What comes back first from there, or the error's code; `timeout` after half a second. */
  tcp(ip: string, port: number): Promise<string>
  udp(ip: string, port: number): Promise<string>
  /** Sends on the connection that `tcp` made last, and waits as long for the echo. */
  again(): Promise<string>
}

/** A process in a namespace ('' is the node's) that asks where it is told to. */
export function asker(namespace: string): Asker {
  const code = `const net = require('net'), dgram = require('dgram'); let last
    const once = (start, end) => new Promise(r => { const t = setTimeout(() => { end?.(); r('timeout') }, 500); start(a => { clearTimeout(t); r(String(a).trim()) }) })
    const ask = { tcp: (ip, port) => { const s = last = net.connect({ host: ip, port }); return once(r => { s.once('data', r); s.once('error', e => r(e.code)); s.on('error', () => {}) }, () => s.destroy()) },
      udp: (ip, port) => { const s = dgram.createSocket('udp4'); return once(r => { s.once('message', r); s.once('error', e => r(e.code)); s.send('x', port, ip) }).finally(() => s.close()) },
      again: () => once(r => { last.once('data', r); last.write('again') }) }
    require('readline').createInterface(process.stdin).on('line', async l => { const [what, ...args] = JSON.parse(l); console.log(JSON.stringify(await ask[what](...args))) })`
  const child = inNamespace(namespace, code)
  const answers = createInterface(child.stdout!)[Symbol.asyncIterator]()
  let turn: Promise<unknown> = Promise.resolve()
  const ask = (...question: unknown[]): Promise<string> => {
    const answer = turn.then(async () => {
      child.stdin!.write(`${JSON.stringify(question)}\n`)
      return JSON.parse((await answers.next()).value as string) as string
    })
    turn = answer
    return answer
  }
  return { tcp: (ip, port) => ask('tcp', ip, port), udp: (ip, port) => ask('udp', ip, port), again: () => ask('again') }
}
