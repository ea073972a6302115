import { describeInNode } from '../../fixtures/in-node.ts'
import { scenario } from './cni.scenario.ts'

describeInNode('pods that CNI plugins connect', new URL('./cni.scenario.ts', import.meta.url), scenario)
