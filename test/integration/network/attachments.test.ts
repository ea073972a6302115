import { describeInNode } from '../../fixtures/in-node.ts'
import { scenario } from './attachments.scenario.ts'

describeInNode('more networks for a pod', new URL('./attachments.scenario.ts', import.meta.url), scenario)
