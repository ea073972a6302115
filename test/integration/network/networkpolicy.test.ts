import { describeInNode } from '../../fixtures/in-node.ts'
import { scenario } from './networkpolicy.scenario.ts'

describeInNode('network policies', new URL('./networkpolicy.scenario.ts', import.meta.url), scenario, 120_000)
