import { describeInNode } from '../../fixtures/in-node.ts'
import { scenario } from './ipv6.scenario.ts'

describeInNode('the second family of pods', new URL('./ipv6.scenario.ts', import.meta.url), scenario)
