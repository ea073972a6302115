/** Conditions: aspects of an object's state, in the standard shape of metav1.Condition and in the older one that most kinds have. */
import { int64, obj, opt, req, str, time, type Fields, type Infer } from '../../machinery/schema.ts'

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

interface ConditionOptions<F extends Fields> {
  /** The protobuf field numbers, which differ. */
  readonly tags: { readonly status?: number; readonly lastTransitionTime: number; readonly reason: number; readonly message: number }
  /** What `type` may be. */
  readonly types?: string
  /** Fields that this condition has beside the usual ones. */
  readonly more?: () => F
}

/** The condition of a kind that is older than metav1.Condition: the same aspects, of which only type and status must be there. */
export const conditionSchema = <F extends Fields = Record<never, never>>(
  name: string,
  doc: string,
  { tags, types = 'Name of the aspect.', more }: ConditionOptions<F>,
) =>
  obj(name, doc, () => ({
    type: req(1, str(), { doc: types, default: '' }),
    status: req(tags.status ?? 2, str(), { doc: 'True, False or Unknown.', default: '' }),
    ...((more?.() ?? {}) as F),
    lastTransitionTime: opt(tags.lastTransitionTime, time(), { doc: 'When status last changed.' }),
    reason: opt(tags.reason, str(), { doc: 'One word for why.' }),
    message: opt(tags.message, str(), { doc: 'Why, for people.' }),
  }))
