import { describeInNode } from '../../fixtures/in-node.ts'
import { scenario } from './uplink.scenario.ts'

describeInNode('the way out of the machine', new URL('./uplink.scenario.ts', import.meta.url), scenario)
