/** What the two kinds of flow control have alike: conditions whose every field may be missing, in a status of nothing else. */
import { duplicate, required, type FieldError, type Path } from '../../machinery/field.ts'
import { list, obj, opt, str, time, type Infer, type ObjectSchema } from '../../machinery/schema.ts'

export const flowControlCondition = (kind: 'FlowSchema' | 'PriorityLevelConfiguration') =>
  obj(`io.k8s.api.flowcontrol.v1.${kind}Condition`, 'One observed aspect.', () => ({
    type: opt(1, str(), { doc: 'Name of the aspect.' }),
    status: opt(2, str(), { doc: 'True, False or Unknown.' }),
    lastTransitionTime: opt(3, time(), { doc: 'When status last changed.' }),
    reason: opt(4, str(), { doc: 'One word for why.' }),
    message: opt(5, str(), { doc: 'Why, for people.' }),
  }))
type Condition = Infer<ReturnType<typeof flowControlCondition>>

export const statusOf = <S extends ObjectSchema>(kind: 'FlowSchema' | 'PriorityLevelConfiguration', condition: S) =>
  obj(`io.k8s.api.flowcontrol.v1.${kind}Status`, 'What was observed.', () => ({
    conditions: opt(1, list(condition), {
      doc: 'Observed aspects.',
      listType: 'map',
      listMapKeys: ['type'],
      mergeKey: 'type',
      patchStrategy: 'merge',
    }),
  }))

export function validateConditions(conditions: readonly Condition[] = [], at: Path): FieldError[] {
  const seen = new Set<string>()
  return conditions.flatMap(({ type = '' }, i) => {
    const here = at.index(i).child('type')
    const errors = seen.has(type) ? [duplicate(here, type)] : []
    seen.add(type)
    return type === '' ? [...errors, required(here, 'must not be empty')] : errors
  })
}
