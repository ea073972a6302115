/** kube-proxy of a node in a large cluster, 10,000 Services with 100,000 endpoints: from nothing to rules, and what one change takes. */
import path from 'node:path'
import { execa } from 'execa'
import type { LocalMeasurement } from './measurement.ts'

const services = 10_000
const endpoints = 100_000
const changes = 20

export const measureProxy: LocalMeasurement = async () => {
  const child = path.join(import.meta.dirname, 'proxy-child.ts')
  const args = ['--net', process.execPath, child, ...[services, endpoints, changes].map(String)]
  const { stdout } = await execa('unshare', args, { timeout: 300_000, stdin: 'ignore' })
  const line = stdout.split('\n').find(l => l.startsWith('{"start"')) ?? '{}'
  const { start, floor, change, changeFloor } = JSON.parse(line) as { start: number; floor: number; change: number; changeFloor: number }
  const of = `${services} Services, ${endpoints} endpoints`
  return [
    { name: `proxy: rules of ${of}`, unit: 's', value: start / 1000, floor: floor / 1000, floorName: 'nft with the script', target: 2 },
    {
      name: `proxy: an endpoint's change among them (10 ms are waited for more)`,
      unit: 'ms',
      value: change,
      floor: changeFloor,
      floorName: 'nft adds an address to a set',
    },
  ]
}
