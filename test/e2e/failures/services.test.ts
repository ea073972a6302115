/** What a pod has under way through Services, and asks cluster DNS, while the node-agent or the node's cluster-dns is killed. */
import { afterAll, beforeAll, expect } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Service } from '#shared/api/core/service.ts'
import { pods, services } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { startCluster, type ClusterFixture } from '../../fixtures/cluster.ts'
import { clientOf, delay, eventually, isReady, patience, row, signal } from './setup.ts'

/** Sends back what comes, by TCP and UDP. */
const server = `
import socket, threading
def tcp():
    s = socket.create_server(('0.0.0.0', 7000))
    def serve(c):
        while True:
            data = c.recv(100)
            if not data: return
            c.sendall(data)
    while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
threading.Thread(target=tcp, daemon=True).start()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('0.0.0.0', 7000))
while True:
    data, peer = u.recvfrom(100)
    u.sendto(data, peer)
`
/**
 * One TCP connection and one UDP socket that are never opened again, and queries; prints a line of JSON every 200 ms: how often each was
 * answered, how often not within 2 s, and the longest time, s, without an answer from DNS.
 */
const asker = `
import json, os, socket, struct, threading, time
at = (os.environ['ECHO'], 7000)
n = {'tcp': 0, 'tcpFailed': 0, 'udp': 0, 'udpFailed': 0, 'dns': 0, 'dnsGap': 0.0}
def each(name, once):
    while True:
        try:
            once(); n[name] += 1
        except OSError: n[name + 'Failed'] += 1
        time.sleep(0.02)
t = socket.create_connection(at); t.settimeout(2)
def tcp():
    t.sendall(b'x')
    if t.recv(1) != b'x': raise OSError('closed')
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.connect(at); u.settimeout(2)
def udp():
    u.send(b'x'); u.recv(10)
threading.Thread(target=each, args=('tcp', tcp), daemon=True).start()
threading.Thread(target=each, args=('udp', udp), daemon=True).start()
def dns():
    server = [l.split()[1] for l in open('/etc/resolv.conf') if l.startswith('nameserver')][0]
    d = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); d.connect((server, 53)); d.settimeout(0.2)
    name = b''.join(bytes([len(l)]) + l for l in b'echo.default.svc.cluster.local'.split(b'.')) + b'\\0'
    last = time.monotonic(); i = 0
    while True:
        i = (i + 1) % 65536
        try:
            d.send(struct.pack('>HHHHHH', i, 256, 1, 0, 0, 0) + name + b'\\0\\1\\0\\1')
            while True:
                answer = d.recv(600)
                if answer[:2] == struct.pack('>H', i): break
            if answer[3] & 15 == 0:
                n['dns'] += 1
                now = time.monotonic(); n['dnsGap'] = max(n['dnsGap'], now - last); last = now
        except OSError: pass
        time.sleep(0.02)
threading.Thread(target=dns, daemon=True).start()
while True:
    time.sleep(0.2); print(json.dumps(n), flush=True)
`
interface Counts {
  tcp: number
  tcpFailed: number
  udp: number
  udpFailed: number
  dns: number
  dnsGap: number
}

let cluster: ClusterFixture
let client: Client
const pod = (name: string, code: string, env: object[] = []): Pod =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: name } },
    spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'main', image: 'python', command: ['python3', '-c', code], env }] },
  }) as unknown as Pod
beforeAll(async () => {
  cluster = await startCluster({ nodes: 1 })
  client = clientOf(cluster)
  const ports = ['TCP', 'UDP'].map(protocol => ({ name: protocol.toLowerCase(), port: 7000, protocol }))
  const service = await client.create(services, 'default', {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'echo' },
    spec: { selector: { app: 'echo' }, ports },
  } as unknown as Service)
  await client.create(pods, 'default', pod('echo', server))
  await eventually(async () => isReady(await client.get(pods, 'default', 'echo')), 'echo is Ready')
  await client.create(pods, 'default', pod('asker', asker, [{ name: 'ECHO', value: service.spec.clusterIP }]))
}, 150_000)
afterAll(() => cluster?.stop(), 60_000)

/** Another line than the ones before, and with more answers of everything. */
async function counts(than: Partial<Counts> = {}): Promise<Counts> {
  return eventually(async () => {
    const { code, stdout } = await cluster.tryKubectl('logs', 'asker', '--tail=1')
    const now = code === 0 && stdout.trim() !== '' ? (JSON.parse(stdout) as Counts) : undefined
    return now && (['tcp', 'udp', 'dns'] as const).every(name => now[name] > (than[name] ?? 0) + 10) ? now : undefined
  }, 'the asker is answered')
}

/**
 * The process has lived so long that what was done to it before is forgotten: one that is killed again and again is started later each
 * time, and a node whose agent is away for longer than the cluster waits for a node has no endpoints, as upstream.
 */
const untilSettled = (component: string): Promise<boolean> =>
  eventually(async () => (await cluster.ps()).some(r => r.component === component && r.uptimeSeconds > 10), `${component} settles`)

row('node-agent killed under connections through Services: none of them breaks, and names resolve on', 120_000, async () => {
  await untilSettled('node-agent')
  const before = await counts()
  for (let last = 0, i = 0; i < 3; i++) {
    last = (await signal(cluster, r => r.component === 'node-agent' && r.pid !== last, 'a new node-agent')).pid
    await delay(Math.random() * 1000)
  }
  const after = await counts(before)
  expect([after.tcpFailed - before.tcpFailed, after.udpFailed - before.udpFailed]).toEqual([0, 0])
  expect(after.dnsGap).toBeLessThan(1 * patience)
})

row('cluster-dns killed while it is asked: answers come again within a second, and nothing else is touched', 120_000, async () => {
  await Promise.all(['node-agent', 'cluster-dns'].map(untilSettled))
  const before = await counts()
  await signal(cluster, r => r.component === 'cluster-dns', 'cluster-dns')
  const after = await counts(before)
  expect([after.tcpFailed - before.tcpFailed, after.udpFailed - before.udpFailed]).toEqual([0, 0])
  expect(after.dnsGap).toBeLessThan(1 * patience)
})
