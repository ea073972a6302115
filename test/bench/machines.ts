/** What the VXLAN between two machines costs: throughput and connections through it, beside the machines' own addresses. */
import path from 'node:path'
import { execa } from 'execa'
import { startMachines, type Machine } from '../fixtures/machines.ts'
import type { LocalMeasurement } from './measurement.ts'

const seconds = 4
const child = path.join(import.meta.dirname, 'machines-child.ts')

export const measureMachines: LocalMeasurement = async () => {
  const machines = await startMachines([1, 1])
  const [a, b] = machines.all as [Machine, Machine]
  const command = (m: Machine, ...args: string[]): [string, string[]] => {
    const [first = '', ...rest] = m.within
    return [first, [...rest, process.execPath, child, ...args]]
  }
  const run = async (m: Machine, ...args: string[]): Promise<string> =>
    (await execa(...command(m, ...args), { stdin: 'ignore', timeout: 60_000 })).stdout
  try {
    await run(a, 'link', a.address, '10.9.1.1', '10.9.2.0/24', b.address)
    await run(b, 'link', b.address, '10.9.2.1', '10.9.1.0/24', a.address)
    const serving = execa(...command(b, 'serve'), { stdin: 'ignore', reject: false })
    await new Promise(resolve => serving.stdout!.once('data', resolve))
    const load = async (host: string): Promise<{ bytes: number; connections: number }> =>
      JSON.parse(await run(a, 'load', host, String(seconds))) as { bytes: number; connections: number }
    const plain = await load(b.address)
    const carried = await load('10.9.2.1')
    serving.kill('SIGKILL')
    await serving
    const floorName = "the machines' own addresses"
    return [
      {
        name: 'machines: throughput through the VXLAN between two',
        unit: 'MB/s',
        value: carried.bytes / 1e6,
        floor: plain.bytes / 1e6,
        floorName,
      },
      { name: 'machines: connections through it', unit: '/s', value: carried.connections, floor: plain.connections, floorName },
    ]
  } finally {
    await machines.stop()
  }
}
