import { describeInNode } from '../../fixtures/in-node.ts'
import { scenario } from './network.scenario.ts'

describeInNode('pod network and service proxy', new URL('./network.scenario.ts', import.meta.url), scenario)
