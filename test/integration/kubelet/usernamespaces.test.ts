import { describeInNode } from '../../fixtures/in-node.ts'
import { scenario } from './usernamespaces.scenario.ts'

describeInNode('pods with users of their own', new URL('./usernamespaces.scenario.ts', import.meta.url), scenario)
