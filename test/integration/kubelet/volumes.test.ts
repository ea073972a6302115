import { describeInNode } from '../../fixtures/in-node.ts'
import { scenario } from './volumes.scenario.ts'

describeInNode('volumes that a container works against', new URL('./volumes.scenario.ts', import.meta.url), scenario)
