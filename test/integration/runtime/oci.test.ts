import { describeInNode } from '../../fixtures/in-node.ts'
import { scenario } from './oci.scenario.ts'

describeInNode('oci runtime', new URL('./oci.scenario.ts', import.meta.url), scenario)
