/** The bench runs and reports. Its figures are not looked at: they are about the machine as much as about us. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { execa } from 'execa'
import { expect, test } from 'vitest'
import type { Row } from '../bench/measurement.ts'

const run = path.resolve(import.meta.dirname, '../tool.sh')
const bench = (args: string[], env = {}) => execa('sh', [run, 'bench', ...args], { reject: false, stdin: 'ignore', timeout: 180_000, env })

// Recovery takes as long as its failures do: `npm run bench -- --only recovery` shows whether it runs.
const measured = ['startup', 'memory', 'pod-start', 'deployment', 'service', 'watch', 'https', 'bus']

test('every measurement but recovery gives rows with floors and targets, and nothing is left', { timeout: 200_000 }, async () => {
  const sizes = { nodes: 2, seconds: 1, repeat: 1, replicas: 2, listed: 3, stored: 20, watchers: 3 }
  const own = await mkdtemp(path.join(tmpdir(), 'cox-e2e-bench-'))
  const ran = await bench(
    ['--json', ...measured.flatMap(name => ['--only', name]), ...Object.entries(sizes).flatMap(([name, n]) => [`--${name}`, String(n)])],
    { TMPDIR: own },
  )
  expect(ran.exitCode, ran.stderr).toBe(0)
  const rows = JSON.parse(ran.stdout) as Row[]
  for (const row of rows) {
    expect(row.value, row.name).toBeGreaterThan(0)
    if (row.floor !== undefined) expect(row.floor, row.name).toBeGreaterThan(0)
  }
  expect(rows.filter(r => r.target !== undefined).map(r => r.name)).toEqual([
    'cox up to 2 nodes Ready, warm',
    'memory idle, 2 nodes: everything',
    'pod: create to Ready, p50',
    'pod of a stored image: create to Ready, p50',
    'pod of plain processes: create to Ready, p50',
    'Deployment of 2: create to all Ready',
    'Service: created to its name in DNS, p50',
    'Service: throughput, share of direct',
    'NodePort: throughput, share of direct',
    'LoadBalancer, from the machine: throughput, share of direct',
    'watch: write to event, 1 watcher, p50',
    'watch: write to event, 3 watchers, p50',
    'HTTPS: create pod',
    'HTTPS: get pod',
    'HTTPS: list of 3 pods',
  ])
  for (const name of [
    'memory with 20 pods stored: kube-apiserver',
    'pod: create to Ready, p99',
    'Deployment of 2: delete to nothing left',
    'NATS: create pod',
    'NATS: get pod',
    'NATS: list of 3 pods',
    'Service: connections',
    'NodePort: connections',
    'Ingress, from the machine: connections',
  ])
    expect(rows.map(r => r.name)).toContain(name)
  expect((await readdir(own)).filter(f => f.startsWith('cox-'))).toEqual([])
  await rm(own, { recursive: true, force: true })
})

test('a name that is none is refused with the names that are', async () => {
  const ran = await bench(['--only', 'luck'])
  expect(ran.exitCode).toBe(1)
  for (const name of [...measured, 'recovery']) expect(ran.stderr).toMatch(new RegExp(`There are: .*\\b${name}\\b`))
})
