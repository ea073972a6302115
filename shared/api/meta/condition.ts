/** metav1.Condition, the standard shape of one aspect of an object's state. */
import { int64, obj, opt, req, str, time, type Infer } from '../../machinery/schema.ts'

export const condition = obj(
  'io.k8s.apimachinery.pkg.apis.meta.v1.Condition',
  'One observed aspect of an object: true, false or unknown, since when and why.',
  () => ({
    type: req(1, str(), { doc: 'Name of the aspect, CamelCase or with a domain prefix.', default: '' }),
    status: req(2, str(), { doc: 'True, False or Unknown.', default: '' }),
    observedGeneration: opt(3, int64(), { doc: 'The metadata.generation that this condition was computed from.', pointer: false }),
    lastTransitionTime: req(4, time(), { doc: 'When status last changed.' }),
    reason: req(5, str(), { doc: 'CamelCase word for why the condition last changed.', default: '' }),
    message: req(6, str(), { doc: 'Details for people.', default: '' }),
  }),
)
export type Condition = Infer<typeof condition>
