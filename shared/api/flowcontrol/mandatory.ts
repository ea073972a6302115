/** What every server needs to classify requests: levels and schemas whose specs nobody may change. */
import { allOf, groups, levelObject, schemaObject } from './objects.ts'

export const mandatoryPriorityLevels = [
  levelObject('exempt', { type: 'Exempt', exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } }),
  levelObject('catch-all', {
    type: 'Limited',
    limited: { nominalConcurrencyShares: 5, lendablePercent: 0, limitResponse: { type: 'Reject' } },
  }),
]

export const mandatoryFlowSchemas = [
  schemaObject('exempt', 'exempt', 1, undefined, [allOf(groups('system:masters'))]),
  schemaObject('catch-all', 'catch-all', 10_000, 'ByUser', [allOf(groups('system:unauthenticated', 'system:authenticated'))]),
]
