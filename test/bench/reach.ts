/** Into a running pod: a command, its log as it grows, files both ways, a forwarded port; each beside the same without us. */
import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { PassThrough, type Readable } from 'node:stream'
import { Exec, KubeConfig, type V1Status } from '@kubernetes/client-node'
import { execa } from 'execa'
import { pods } from '#shared/api/kinds.ts'
import { unpacked } from '../fixtures/kubectl.ts'
import { openRunc } from './floor/runc.ts'
import type { Bench, Measurement, Row } from './measurement.ts'
import { isReady, podOf, watchPods } from './pods.ts'
import { percentile } from './statistics.ts'

const MB = 1e6
const copied = 1024 * 1024 * 1024
const forwarded = 512 * 1024 * 1024
/** Prints nanoseconds ten times a second. */
const ticking = 'while :; do date +%s%N; sleep 0.1; done'

interface Place {
  bench: Bench
  namespace: string
  pod: string
  kubeconfig: string
  kubectl: string
}

export const measureReach: Measurement = async bench => {
  const { cluster, client } = bench
  const namespace = await bench.namespace()
  const watch = await watchPods(client, namespace)
  bench.afterwards(watch.stop)
  const shell = (name: string, script: string, image = 'busybox') => ({ name, image, command: ['sh', '-c', script] })
  const web = 'head -c 512M /dev/zero >/usr/share/nginx/html/large && exec nginx -g "daemon off;"'
  await client.create(
    pods,
    namespace,
    podOf(namespace, 'reached', {
      containers: [shell('main', 'exec sleep 100000'), shell('clock', ticking, 'debian'), shell('web', web, 'nginx')],
    }),
  )
  let address = ''
  await watch.until(all => {
    const pod = all.get('reached')
    address = pod?.status?.podIP ?? ''
    return pod !== undefined && isReady(pod)
  }, 'the pod is Ready')
  const place: Place = {
    bench,
    namespace,
    pod: 'reached',
    kubeconfig: cluster.dir.kubeconfig,
    kubectl: path.join(await unpacked(), 'kubectl/kubectl'),
  }
  return [
    ...(await execRoundTrip(place)),
    ...(await logLatency(place)),
    ...(await logThroughput(place, watch)),
    ...(await portForward(place, address)),
    ...(await copies(place)),
  ]
}

async function execRoundTrip({ bench, namespace, pod, kubeconfig }: Place): Promise<Row[]> {
  const config = new KubeConfig()
  config.loadFromFile(kubeconfig)
  const exec = new Exec(config)
  const runc = await openRunc()
  bench.afterwards(runc.close)
  const [ours, floors]: [number[], number[]] = [[], []]
  for (let i = 0; i <= bench.sizes.repeat; i++) {
    const began = performance.now()
    await new Promise<V1Status>((resolve, reject) => {
      exec.exec(namespace, pod, 'main', ['true'], new PassThrough().resume(), null, null, false, resolve).catch(reject)
    })
    const took = performance.now() - began
    const floor = await runc.exec()
    if (i > 0) (ours.push(took), floors.push(floor))
  }
  const floorName = '`runc exec` of `true`'
  return [0.5, 0.99].map(p => ({
    name: `exec: round trip of \`true\`, p${p * 100}`,
    unit: 'ms' as const,
    value: percentile(ours, p),
    floor: percentile(floors, p),
    floorName,
    ...(p === 0.5 ? { target: 60 } : {}),
  }))
}

/** How late the lines are, ms. */
async function lateness(output: Readable, lines: number): Promise<number[]> {
  const late: number[] = []
  for await (const line of createInterface({ input: output })) {
    // The first ones were written before.
    late.push(performance.timeOrigin + performance.now() - Number(line) / 1e6)
    if (late.length >= lines + 5) break
  }
  return late.slice(5)
}

async function logLatency({ bench, namespace, pod, kubeconfig, kubectl }: Place): Promise<Row[]> {
  const lines = 2 * bench.sizes.repeat
  const measure = async (child: ChildProcess): Promise<number> => {
    try {
      return percentile(await lateness(child.stdout!, lines), 0.5)
    } finally {
      child.kill('SIGKILL')
    }
  }
  const stdio: ['ignore', 'pipe', 'ignore'] = ['ignore', 'pipe', 'ignore']
  const args = ['--kubeconfig', kubeconfig, '-n', namespace, 'logs', '-f', '--tail=1', pod, '-c', 'clock']
  const value = await measure(spawn(kubectl, args, { stdio }))
  const floor = await measure(spawn('sh', ['-c', ticking], { stdio }))
  return [{ name: 'logs -f: how late a line comes, p50', unit: 'ms', value, floor, floorName: 'the same script on a pipe', target: 20 }]
}

/** Within the pod: 200 MB of lines to standard output, and into a file. */
async function logThroughput({ bench, namespace }: Place, watch: Awaited<ReturnType<typeof watchPods>>): Promise<Row[]> {
  const bytes = 200_000_000
  const line = 'x'.repeat(99)
  const write = (to: string): string =>
    `s=$(date +%s%N); yes ${line} | head -c ${bytes} ${to}; e=$(date +%s%N); echo $((e - s)) >>/dev/termination-log`
  const script = `${write('>/file')}; rm /file; ${write('')}`
  await bench.client.create(
    pods,
    namespace,
    podOf(namespace, 'writer', { restartPolicy: 'Never', containers: [{ name: 'main', image: 'debian', command: ['sh', '-c', script] }] }),
  )
  let message = ''
  await watch.until(all => {
    const ended = all.get('writer')?.status?.containerStatuses?.[0]?.state?.terminated
    message = ended?.message ?? ''
    return ended !== undefined
  }, 'the log is written')
  const [floor = NaN, value = NaN] = message
    .trim()
    .split('\n')
    .map(nanos => (bytes / MB) * (1e9 / Number(nanos)))
  return [{ name: "log: a container's output", unit: 'MB/s', value, floor, floorName: 'the same into a file' }]
}

async function portForward({ namespace, pod, kubeconfig, kubectl }: Place, address: string): Promise<Row[]> {
  const child = spawn(kubectl, ['--kubeconfig', kubeconfig, '-n', namespace, 'port-forward', pod, ':80'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  try {
    let port = ''
    for await (const line of createInterface({ input: child.stdout })) {
      port = /127\.0\.0\.1:(\d+)/.exec(line)?.[1] ?? ''
      if (port !== '') break
    }
    const get = async (url: string): Promise<number> => {
      const args = ['-sf', '--max-time', '120', '-o', '/dev/null', '-w', '%{size_download} %{speed_download}', url]
      const [size, speed] = (await execa('curl', args)).stdout.split(' ').map(Number)
      if (size !== forwarded) throw new Error(`${size} bytes came of ${forwarded}`)
      return speed! / MB
    }
    const value = await get(`http://127.0.0.1:${port}/large`)
    const floor = await get(`http://${address}/large`)
    return [{ name: 'port-forward: throughput', unit: 'MB/s', value, floor, floorName: "the same from the pod's address", target: 200 }]
  } finally {
    child.kill('SIGKILL')
  }
}

/** `kubectl cp` of 1 GiB into a pod and out of it; the memory that it takes of ours, and what becomes of heartbeats. */
async function copies({ bench, namespace, pod, kubeconfig, kubectl }: Place): Promise<Row[]> {
  const { cluster, say } = bench
  const dir = await mkdtemp(path.join(tmpdir(), 'cox-bench-cp-'))
  bench.afterwards(() => rm(dir, { recursive: true, force: true }))
  const file = await open(path.join(dir, 'file'), 'w')
  for (let at = 0; at < copied; at += 1 << 24) await file.write(Buffer.alloc(1 << 24, at))
  await file.close()
  const processes = (await cluster.ps()).filter(p => ['kube-apiserver', 'node-agent'].includes(p.component))
  const peak = new Map<string, number>()
  const look = (): void => {
    for (const { pid, component } of processes) {
      const kibi = Number(/^VmRSS:\s+(\d+)/m.exec(readStatus(pid))?.[1] ?? 0)
      peak.set(component, Math.max(peak.get(component) ?? 0, kibi / 1024))
    }
  }
  look()
  const before = new Map(peak)
  const timer = setInterval(look, 50)
  const cp = async (from: string, to: string): Promise<number> => {
    const began = performance.now()
    await execa(kubectl, ['--kubeconfig', kubeconfig, '-n', namespace, 'cp', '-c', 'main', from, to], { timeout: 300_000 })
    const speed = copied / MB / ((performance.now() - began) / 1000)
    say(`cp to ${to}: ${speed.toFixed(0)} MB/s`)
    return speed
  }
  const local = async (): Promise<number> => {
    await mkdir(path.join(dir, 'copy'), { recursive: true })
    const began = performance.now()
    await execa('sh', ['-c', 'tar -cf - file | tar -xf - -C copy'], { cwd: dir })
    return copied / MB / ((performance.now() - began) / 1000)
  }
  try {
    const to = await cp(path.join(dir, 'file'), `${pod}:/tmp/file`)
    const from = await cp(`${pod}:/tmp/file`, path.join(dir, 'back'))
    const floor = await local()
    const floorName = '`tar` into `tar`'
    return [
      { name: 'cp: into a pod', unit: 'MB/s', value: to, floor, floorName },
      { name: 'cp: out of a pod', unit: 'MB/s', value: from, floor, floorName },
      ...[...peak].map(([component, value]): Row => ({
        name: `cp: memory that a ${component} takes for it`,
        unit: 'MiB',
        value: Math.max(0, value - (before.get(component) ?? 0)),
        target: 150,
      })),
    ]
  } finally {
    clearInterval(timer)
  }
}

function readStatus(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8')
  } catch {
    return ''
  }
}
