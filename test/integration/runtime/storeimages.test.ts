import { describeInNode } from '../../fixtures/in-node.ts'
import { scenario } from './storeimages.scenario.ts'

describeInNode('images of the store in the oci runtime', new URL('./storeimages.scenario.ts', import.meta.url), scenario, 120_000)
