/**
 * The ingress controller's HAProxy with a thousand Ingresses, against one that has nothing but a frontend and a backend: both on this
 * machine, before one server.
 */
import { execa } from 'execa'
import { rm, writeFile, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { freePort } from '../fixtures/free-port.ts'
import { ingress, startProxy } from '../fixtures/ingressproxy.ts'
import type { LocalMeasurement } from './measurement.ts'
import { median } from './statistics.ts'
import { until } from './until.ts'
import { wrk } from './wrk.ts'

const many = 1000
const rounds = 5

const plain = (name: string, port: number, rest: string): string => `
frontend ${name}
  mode http
  bind 127.0.0.1:${port}
  timeout client 60s
${rest}`

export const measureIngress: LocalMeasurement = async () => {
  const [server, floor] = [await freePort(), await freePort()]
  const dir = await mkdtemp(path.join(tmpdir(), 'cox-bench-ingress-'))
  const write = async (name: string, text: string): Promise<string> => {
    await writeFile(path.join(dir, name), text)
    return path.join(dir, name)
  }
  const files = [
    await write('server.cfg', plain('server', server, '  http-request return status 200 content-type text/plain string "hello"\n')),
    await write(
      'floor.cfg',
      `${plain('floor', floor, '  default_backend b\n')}
backend b
  mode http
  timeout connect 5s
  timeout server 60s
  server s1 127.0.0.1:${server}
`,
    ),
  ]
  const programs = files.map(file => execa('haproxy', ['-db', '-q', '-f', file], { reject: false }))
  const proxy = await startProxy()
  try {
    const ingresses = Array.from({ length: many }, (_, i) => ingress(`i${i}`, `h${i}.example.com`, { '/': `s${i}` }))
    for (let i = 0; i < many; i++) proxy.endpoints(`s${i}`, [`127.0.0.1:${server}`])
    await proxy.serve(...ingresses)
    await until(
      () => execa('curl', ['-sf', `http://127.0.0.1:${floor}/`], { reject: false }).then(r => r.exitCode === 0),
      'the plain proxy answers',
    )
    const load = (port: number) =>
      wrk({ url: `http://127.0.0.1:${port}/`, connections: 32, seconds: 2, headers: { Host: 'h500.example.com' } })
    const ours: number[] = []
    const floors: number[] = []
    // By turns: a machine that becomes slower does so for both.
    for (let i = 0; i < rounds; i++) {
      ours.push((await load(proxy.ports.http)).perSecond)
      floors.push((await load(floor)).perSecond)
    }
    const timed = async (work: (n: number) => Promise<unknown>): Promise<number> => {
      const times: number[] = []
      for (let n = 0; n < rounds; n++) {
        const since = performance.now()
        await work(n)
        times.push(performance.now() - since)
      }
      return median(times)
    }
    const changed = await timed(n => {
      proxy.endpoints('s7', [`127.0.0.1:${server}`, `127.0.0.${2 + n}:${server}`])
      return proxy.serve(...ingresses)
    })
    const added = await timed(n => proxy.serve(...ingresses, ingress(`new-${n}`, `new-${n}.example.com`, { '/': 's1' })))
    return [
      {
        name: `Ingress: requests, ${many} Ingresses`,
        unit: '/s',
        value: median(ours),
        floor: median(floors),
        floorName: 'a proxy with one backend',
      },
      {
        name: 'Ingress: requests, share of the proxy alone',
        unit: '%',
        value: 100 * median(ours.map((v, i) => v / floors[i]!)),
        target: 80,
      },
      { name: `Ingress: an endpoint's change to the proxy, ${many} Ingresses`, unit: 'ms', value: changed },
      { name: `Ingress: a new Ingress to the reloaded proxy, ${many} Ingresses`, unit: 'ms', value: added },
    ]
  } finally {
    await proxy.stop()
    for (const program of programs) program.kill('SIGTERM')
    await Promise.all(programs)
    await rm(dir, { recursive: true })
  }
}
