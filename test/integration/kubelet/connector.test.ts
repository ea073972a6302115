import { describeInNode } from '../../fixtures/in-node.ts'
import { scenario } from './connector.scenario.ts'

describeInNode("connections to a pod's own ports", new URL('./connector.scenario.ts', import.meta.url), scenario)
