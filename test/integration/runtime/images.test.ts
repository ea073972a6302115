import { describeInNode } from '../../fixtures/in-node.ts'
import { scenario } from './images.scenario.ts'

describeInNode('images of the catalogue', new URL('./images.scenario.ts', import.meta.url), scenario)
