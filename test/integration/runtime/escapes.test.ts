import { describeInNode } from '../../fixtures/in-node.ts'
import { scenario } from './escapes.scenario.ts'

describeInNode('ways out of a container', new URL('./escapes.scenario.ts', import.meta.url), scenario)
