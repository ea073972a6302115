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
 * In this order: what was killed lives on for a while before it is killed again, as what dies again and again is started later and later.
 * From the first leader on there are two.
 */
const failures: Scenario[] = [
  ...processes,
  node,
  ...processes,
  ...links,
  ...processes,
  node,
  supervisor,
  reboot,
  supervisor,
  reboot,
  ...leaders,
  ...leaders,
  ...leaders,
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
  const done = new Map<Scenario, number>()
  const samples = new Map<string, Row[]>()
  for (const scenario of failures) {
    const times = done.get(scenario) ?? 0
    if (times >= bench.sizes.repeat || stage.nodes.length < (scenario.nodes ?? 1)) continue
    done.set(scenario, times + 1)
    await once(scenario, stage, row => void samples.set(row.name, [...(samples.get(row.name) ?? []), row]))
  }
  return [...samples.values()].map(([first, ...rest]) => ({ ...first!, value: median([first!, ...rest].map(r => r.value)) }))
}
