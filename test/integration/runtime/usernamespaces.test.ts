import { describeInNode } from '../../fixtures/in-node.ts'
import { scenario } from './usernamespaces.scenario.ts'

describeInNode('user namespaces', new URL('./usernamespaces.scenario.ts', import.meta.url), scenario)
