/**
 * A node's cluster DNS with a Service's name asked as fast as it answers, beside a process that sends every packet back; and one at a time.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { encode } from 'dns-packet'
import type { LocalMeasurement } from './measurement.ts'
import { median } from './statistics.ts'

const seconds = 2
const rounds = 3
const sockets = 8
/** Of each socket, queries that wait for answers. */
const underWay = 8

interface Server {
  port: number
  stop(): void
}

/** `what` is `dns` or `echo`. */
async function server(what: string): Promise<Server> {
  const child: ChildProcess = spawn(process.execPath, [path.join(import.meta.dirname, 'dns-child.ts'), what], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(createInterface(child.stdout!), 'line')) as [string]
  return { port: Number(line), stop: () => child.kill('SIGKILL') }
}

const query = encode({ type: 'query', id: 1, flags: 256, questions: [{ name: 'web.default.svc.cluster.local', type: 'A' }] })

/** Answers a second, and the 99th percentile of what one takes, ms; with `parallel` queries of each socket under way. */
async function load(port: number, parallel: number, count: number): Promise<{ perSecond: number; p99: number }> {
  const times: number[] = []
  const until = performance.now() + seconds * 1000
  const one = async (): Promise<void> => {
    const socket: Socket = createSocket('udp4')
    socket.connect(port, '127.0.0.1')
    await once(socket, 'connect')
    const sent = new Map<number, number>()
    let id = 0
    const send = (): void => {
      const packet = Buffer.from(query)
      id = (id + 1) & 0xffff
      packet.writeUInt16BE(id, 0)
      sent.set(id, performance.now())
      socket.send(packet)
    }
    const end = new Promise<void>(resolve => {
      socket.on('message', m => {
        const began = sent.get(m.readUInt16BE(0))
        if (began === undefined) return
        sent.delete(m.readUInt16BE(0))
        const now = performance.now()
        times.push(now - began)
        if (now < until) send()
        else resolve()
      })
    })
    for (let i = 0; i < parallel; i++) send()
    await end
    socket.close()
  }
  await Promise.all(Array.from({ length: count }, one))
  times.sort((a, b) => a - b)
  return { perSecond: times.length / seconds, p99: times[Math.floor(times.length * 0.99)] ?? 0 }
}

export const measureDns: LocalMeasurement = async () => {
  const [dns, echo] = await Promise.all([server('dns'), server('echo')])
  try {
    const figures = { dns: [] as number[], echo: [] as number[], dnsP99: [] as number[], echoP99: [] as number[] }
    for (let i = 0; i < rounds; i++)
      for (const [name, { port }] of i % 2 ? ([['echo', echo], ['dns', dns]] as const) : ([['dns', dns], ['echo', echo]] as const)) {
        figures[name].push((await load(port, underWay, sockets)).perSecond)
        figures[`${name}P99`].push((await load(port, 1, 1)).p99)
      } // prettier-ignore
    const floorName = 'an empty UDP echo'
    return [
      { name: 'DNS: answers of a node', unit: '/s', value: median(figures.dns), floor: median(figures.echo), floorName, target: 20_000 },
      { name: 'DNS: one query, p99', unit: 'ms', value: median(figures.dnsP99), floor: median(figures.echoP99), floorName, target: 1 },
    ]
  } finally {
    dns.stop()
    echo.stop()
  }
}
