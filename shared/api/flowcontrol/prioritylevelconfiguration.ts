/**
 * flowcontrol.apiserver.k8s.io/v1 PriorityLevelConfiguration: how many requests of a level run at a time, and what becomes of others.
 * https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
 */
import { forbidden, invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { int32, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { priorityLevelConfigurations } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { semanticEqual } from '../meta/validation.ts'
import { resource } from '../resource.ts'
import { flowControlCondition, statusOf, validateConditions } from './condition.ts'
import { mandatoryPriorityLevels } from './mandatory.ts'

const name = (what: string): string => `io.k8s.api.flowcontrol.v1.${what}`
const levelSchema = obj(name('PriorityLevelConfiguration'), 'A level of priority.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, levelSpec, { doc: 'What its requests get.', default: {} }),
  status: opt(3, statusOf('PriorityLevelConfiguration', levelCondition), { doc: 'What was observed.', default: {} }),
}))
export type PriorityLevelConfiguration = Stored<Infer<typeof levelSchema>>
const levelCondition = flowControlCondition('PriorityLevelConfiguration')

const shares = { doc: "Its share of the server's seats, in proportion to those of the others.", pointer: true }
const lendable = { doc: 'How many percent of its seats others may use while they are free.', pointer: true, default: 0 }
const levelSpec = obj(name('PriorityLevelConfigurationSpec'), 'What requests of a level get.', () => ({
  type: req(1, str(), { doc: 'Exempt or Limited.', default: '' }),
  limited: opt(2, limitedLevel, { doc: 'For Limited.', pointer: true }),
  exempt: opt(3, exemptLevel, { doc: 'For Exempt.', pointer: true }),
}))
const limitedLevel = obj(name('LimitedPriorityLevelConfiguration'), 'A level whose requests are limited.', () => ({
  nominalConcurrencyShares: opt(1, int32(), { ...shares, default: 30 }),
  limitResponse: opt(2, limitResponse, { doc: 'What becomes of requests over the limit.', default: {} }),
  lendablePercent: opt(3, int32(), lendable),
  borrowingLimitPercent: opt(4, int32(), { doc: 'How many seats it may borrow, in percent of its own; absent: any.', pointer: true }),
}))
const exemptLevel = obj(name('ExemptPriorityLevelConfiguration'), 'A level whose requests are not limited.', () => ({
  nominalConcurrencyShares: opt(1, int32(), { ...shares, default: 0 }),
  lendablePercent: opt(2, int32(), lendable),
}))
const limitResponse = obj(name('LimitResponse'), 'What becomes of requests over the limit.', () => ({
  type: req(1, str(), { doc: 'Queue or Reject.', default: '' }),
  queuing: opt(2, queuing, { doc: 'For Queue.', pointer: true }),
}))
const queuing = obj(name('QueuingConfiguration'), 'How requests wait.', () => ({
  queues: opt(1, int32(), { doc: 'How many queues there are.', default: 64 }),
  handSize: opt(2, int32(), { doc: 'Of so many queues each flow uses the shortest.', default: 8 }),
  queueLengthLimit: opt(3, int32(), { doc: 'How many requests wait in one queue.', default: 50 }),
}))
export type PriorityLevelConfigurationSpec = Infer<typeof levelSpec>
export type QueuingConfiguration = Infer<typeof queuing>

const limitedCell = (cell: (l: Infer<typeof limitedLevel>) => number | undefined) => (p: PriorityLevelConfiguration) =>
  (p.spec.limited && cell(p.spec.limited)) ?? '<none>'

export const priorityLevelConfiguration = resource<PriorityLevelConfiguration>({
  ...priorityLevelConfigurations,
  schema: levelSchema,
  singular: 'prioritylevelconfiguration',
  hasStatus: true,
  statusKeeps: 'metadata',
  hasGeneration: true,
  statusResetFields: [['f:metadata'], ['f:spec']],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  columns: [
    nameColumn,
    { name: 'Type', type: 'string', doc: 'Exempt or Limited.', cell: p => p.spec.type },
    {
      name: 'NominalConcurrencyShares',
      type: 'string',
      doc: 'Its share of the seats.',
      cell: limitedCell(l => l.nominalConcurrencyShares),
    },
    { name: 'Queues', type: 'string', doc: 'How many queues there are.', cell: limitedCell(l => l.limitResponse?.queuing?.queues) },
    { name: 'HandSize', type: 'string', doc: 'Queues of a flow.', cell: limitedCell(l => l.limitResponse?.queuing?.handSize) },
    {
      name: 'QueueLengthLimit',
      type: 'string',
      doc: 'Requests in a queue.',
      cell: limitedCell(l => l.limitResponse?.queuing?.queueLengthLimit),
    },
    ageColumn,
  ],
  // As upstream's defaults, a zero is nothing here.
  defaults: ({ spec }) => {
    const q = spec.limited?.limitResponse?.queuing
    if (!q) return
    q.queues ||= 64
    q.handSize ||= 8
    q.queueLengthLimit ||= 50
  },
  validate: (p, at) => [
    ...validateSpec(p.metadata.name ?? '', p.spec, at.child('spec')),
    ...validateConditions(p.status?.conditions, at.child('status', 'conditions')),
  ],
})

/** pkg/apis/flowcontrol/validation: ValidatePriorityLevelConfiguration. */
function validateSpec(level: string, spec: PriorityLevelConfigurationSpec, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const { type, limited, exempt } = spec
  if ((level === 'exempt') !== (type === 'Exempt'))
    errors.push(invalid(at.child('type'), type, "type must be 'Exempt' if and only if name is 'exempt'"))
  if (type === 'Exempt') {
    if (limited) errors.push(forbidden(at.child('limited'), 'must be nil if the type is not Limited'))
    if (exempt) errors.push(...validateShares(exempt, at.child('exempt')))
  } else if (type === 'Limited') {
    if (exempt) errors.push(forbidden(at.child('exempt'), 'must be nil if the type is Limited'))
    if (!limited) errors.push(required(at.child('limited'), 'must not be empty when type is Limited'))
    else errors.push(...validateLimited(limited, at.child('limited')))
  } else errors.push(notSupported(at.child('type'), type, ['Exempt', 'Limited']))
  const fixed = mandatoryPriorityLevels.find(m => m.metadata.name === level)
  if (fixed && !semanticEqual(fixedPart(spec), fixedPart(fixed.spec))) {
    const but = level === 'exempt' ? " except the 'spec.exempt.nominalConcurrencyShares' and 'spec.exempt.lendablePercent' fields" : ''
    errors.push(invalid(at, spec, `spec of '${level}'${but} must equal the fixed value`))
  }
  return errors
}

/** What may not be changed of a mandatory level. */
export const fixedPart = ({ exempt: _exempt, ...rest }: PriorityLevelConfigurationSpec): object => rest

function validateShares(
  {
    nominalConcurrencyShares: nominal = 0,
    lendablePercent = 0,
  }: { nominalConcurrencyShares?: number | undefined; lendablePercent?: number | undefined },
  at: Path,
): FieldError[] {
  return [
    ...(nominal < 0 ? [invalid(at.child('nominalConcurrencyShares'), nominal, 'must be a non-negative integer')] : []),
    ...(lendablePercent < 0 || lendablePercent > 100
      ? [invalid(at.child('lendablePercent'), lendablePercent, 'must be between 0 and 100, inclusive')]
      : []),
  ]
}

function validateLimited(limited: Infer<typeof limitedLevel>, at: Path): FieldError[] {
  const errors = validateShares(limited, at)
  const borrowing = limited.borrowingLimitPercent ?? 0
  if (borrowing < 0) errors.push(invalid(at.child('borrowingLimitPercent'), borrowing, 'if specified, must be a non-negative integer'))
  const { type = '', queuing: q } = limited.limitResponse ?? {}
  const here = at.child('limitResponse')
  if (type === 'Reject') {
    if (q) errors.push(forbidden(here.child('queuing'), 'must be nil if limited.limitResponse.type is not Limited'))
  } else if (type !== 'Queue') errors.push(notSupported(here.child('type'), type, ['Queue', 'Reject']))
  else if (!q) errors.push(required(here.child('queuing'), 'must not be empty if limited.limitResponse.type is Limited'))
  else errors.push(...validateQueuing(q, here.child('queuing')))
  return errors
}

const maxQueues = 10_000_000
const maxHashBits = 60

function validateQueuing({ queues = 0, handSize = 0, queueLengthLimit = 0 }: QueuingConfiguration, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (queueLengthLimit <= 0) errors.push(invalid(at.child('queueLengthLimit'), queueLengthLimit, 'must be positive'))
  if (queues <= 0) errors.push(invalid(at.child('queues'), queues, 'must be positive'))
  else if (queues > maxQueues) errors.push(invalid(at.child('queues'), queues, `must not be greater than ${maxQueues}`))
  const here = at.child('handSize')
  const entropy = Math.ceil(Math.log2(queues) * handSize)
  if (handSize <= 0) errors.push(invalid(here, handSize, 'must be positive'))
  else if (handSize > queues) errors.push(invalid(here, handSize, `should not be greater than queues (${queues})`))
  else if (entropy > maxHashBits) {
    const why = `required entropy bits of deckSize ${queues} and handSize ${handSize} should not be greater than ${maxHashBits}`
    errors.push(invalid(here, handSize, why))
  }
  return errors
}
