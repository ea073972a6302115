import { describeInNode } from '../../fixtures/in-node.ts'
import { scenario } from './process.scenario.ts'

describeInNode('process runtime as root', new URL('./process.scenario.ts', import.meta.url), scenario)
