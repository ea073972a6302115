/** KubeletPSI: pressure of control groups, as the kernel writes it and as /metrics/cadvisor has it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { cadvisorMetrics } from '#node-agent/kubelet/server/cadvisor.ts'
import { pressure } from '#node-agent/kubelet/stats/machine.ts'
import type { Sample } from '#node-agent/kubelet/stats/sampler.ts'

test('for how long some tasks, or all, had to wait', () => {
  const directory = mkdtempSync(join(tmpdir(), 'pressure-'))
  try {
    writeFileSync(
      join(directory, 'memory.pressure'),
      'some avg10=0.50 avg60=0.10 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1250000\n',
    )
    writeFileSync(join(directory, 'cpu.pressure'), 'some avg10=0.00 avg60=0.00 avg300=0.00 total=40\n')
    const used = { cpuNanos: 1, memoryBytes: 1, workingSetBytes: 1 }
    const sample = { at: 1000, pods: [], all: used, own: used } as unknown as Sample
    const text = cadvisorMetrics(sample, {
      machine: { cpus: 1, memoryBytes: 1 } as never,
      fs: {} as never,
      storage: new Map(),
      pressure: (cgroup, resource) => (cgroup === '/kubepods' ? pressure(join(directory, `${resource}.pressure`)) : undefined),
    })
    const group = '{container="",image="",name="",id="/kubepods",namespace="",pod=""}'
    const samples = text.split('\n').filter(line => line.startsWith('container_pressure_'))
    expect(samples).toEqual([
      `container_pressure_cpu_waiting_seconds_total${group} 0.00004 1000`,
      `container_pressure_memory_stalled_seconds_total${group} 1.25 1000`,
      `container_pressure_memory_waiting_seconds_total${group} 2.5 1000`,
    ])
  } finally {
    rmSync(directory, { recursive: true })
  }
})
