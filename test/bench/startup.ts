/** Seconds from `cox up` to all nodes Ready, warm: bundles, compile cache and state are there. */
import { execa } from 'execa'
import type { Measurement } from './measurement.ts'
import { median } from './statistics.ts'

/** The CLI, its supervisor, API server, controller manager, scheduler, and a node-agent for each node. */
const processes = (nodes: number): number => 5 + nodes

/** Seconds until that many Node processes, started side by side, that do nothing have ended. */
async function nodeProcesses(count: number): Promise<number> {
  const began = performance.now()
  await Promise.all(Array.from({ length: count }, () => execa(process.execPath, ['-e', '0'])))
  return (performance.now() - began) / 1000
}

export const measureStartup: Measurement = async ({ cluster, sizes, say }) => {
  if (!cluster.ours) throw new Error('a running cluster is not stopped to measure its start')
  const nodes = (await cluster.ps()).filter(p => p.component === 'node-agent').length
  const rounds = Math.min(5, sizes.repeat)
  const values: number[] = []
  const floors: number[] = []
  for (let i = 0; i < rounds; i++) {
    await cluster.down()
    floors.push(await nodeProcesses(processes(nodes)))
    const began = performance.now()
    await cluster.up()
    values.push((performance.now() - began) / 1000)
    say(`start ${i + 1} of ${rounds}: ${values.at(-1)?.toFixed(2)} s`)
  }
  return [
    {
      name: `cox up to ${nodes} nodes Ready, warm`,
      unit: 's',
      value: median(values),
      floor: median(floors),
      floorName: `${processes(nodes)} empty Node processes side by side`,
      target: 2.5,
    },
  ]
}
