/** How long the cluster takes to recover: from a SIGKILL, or from the healing of a link, to the event that shows that things work again. */
import { requireCluster } from '#control-plane/cli/state.ts'
import type { Measurement, Row } from './measurement.ts'
import type { Scenario, Stage } from './recovery/failure.ts'
import { leaders } from './recovery/leaders.ts'
import { links, node } from './recovery/nodes.ts'
import { processes } from './recovery/processes.ts'
import { reboot, supervisor } from './recovery/whole.ts'
import { median } from './statistics.ts'

/**
 * What is done in turns, and how often: what has just died gets time to become what it was, as a process that dies again and again is started later and later. From the last
 * ones on there are two of each leader.
 */
const turns: { rounds: number; nodes?: number; scenarios: Scenario[] }[] = [
  { rounds: 3, scenarios: processes },
  // With fewer nodes nobody is left who asks, or one is half of the cluster.
  { rounds: 2, nodes: 3, scenarios: [node] },
  { rounds: 1, nodes: 3, scenarios: links },
  { rounds: 2, scenarios: [supervisor, reboot] },
  { rounds: 3, scenarios: leaders },
]

async function once(scenario: Scenario, bench: Omit<Stage, 'afterwards'>, record: (row: Row) => void): Promise<void> {
  const cleaners: (() => unknown)[] = []
  try {
    const { strike, recoveries, after } = await scenario.prepare({ ...bench, afterwards: clean => void cleaners.unshift(clean) })
    const began = Date.now()
    await strike()
    await Promise.all(
      recoveries.map(async ({ what, target, done }) => {
        const value = (((await done()) ?? Date.now()) - began) / 1000
        bench.say(`${scenario.name}: ${what}: ${value.toFixed(2)} s`)
        record({ name: `${scenario.name}: ${what}`, unit: 's', value, ...(target === undefined ? {} : { target }) })
      }),
    )
    await after?.()
  } finally {
    for (const clean of cleaners) await clean()
  }
}

export const measureRecovery: Measurement = async bench => {
  if (!bench.cluster.ours) throw new Error('a running cluster is not broken to measure how it recovers')
  const stage = { ...bench, namespace: await bench.namespace(), nodes: requireCluster(bench.cluster.dir).nodes.map(n => n.name) }
  const samples = new Map<string, Row[]>()
  for (const { rounds, nodes = 1, scenarios } of turns) {
    if (stage.nodes.length < nodes) continue
    for (let round = 0; round < Math.min(rounds, bench.sizes.repeat); round++) {
      for (const scenario of scenarios) await once(scenario, stage, row => void samples.set(row.name, [...(samples.get(row.name) ?? []), row]))
    }
  }
  return [...samples.values()].map(([first, ...rest]) => ({ ...first!, value: median([first!, ...rest].map(r => r.value)) }))
}
