/**
 * What a definition's status says next: which names it was given, and whether the kind is served
 * (k8s.io/apiextensions-apiserver/pkg/controller: status, establish and apiapproval). One step at a time: that the names are accepted must
 * be known everywhere before it is Established.
 */
import type { CustomResourceDefinition, CustomResourceDefinitionNames } from '#shared/api/apiextensions/customresourcedefinition.ts'
import { approvalOf } from '#shared/api/apiextensions/approval.ts'
import { unreadableBundle } from '#shared/api/apiextensions/cabundle.ts'
import { semanticEqual } from '#shared/api/meta/validation.ts'
import { clone } from '#shared/machinery/jsonvalue.ts'
import { formatTime } from '#shared/machinery/time.ts'

type Status = NonNullable<CustomResourceDefinition['status']>
export type Condition = NonNullable<Status['conditions']>[number]

/** What is to be known of another definition of the group. */
export interface Rival {
  readonly version: number
  readonly names: CustomResourceDefinitionNames
  readonly established: boolean
}

export const conditionOf = ({ status }: CustomResourceDefinition, type: string): Condition | undefined =>
  status?.conditions?.find(c => c.type === type)
export const hasCondition = (d: CustomResourceDefinition, type: string): boolean => conditionOf(d, type)?.status === 'True'

/** Sets a condition; its time is that of the last change of its status. Changes `status`. */
export function setCondition(status: Status, condition: Condition): void {
  const conditions = (status.conditions ??= [])
  const at = conditions.findIndex(c => c.type === condition.type)
  const before = conditions[at]
  if (!before) return void conditions.push({ ...condition, lastTransitionTime: formatTime() })
  const since = before.status === condition.status ? before.lastTransitionTime : undefined
  conditions[at] = { ...before, ...condition, lastTransitionTime: since ?? formatTime() }
}

const none: CustomResourceDefinitionNames = { plural: '', kind: '' }

/** The next status of the definition that is stored as `version`; undefined when it is as it should be. */
export function nextStatus(d: CustomResourceDefinition, version: number, rivals: readonly Rival[]): Status | undefined {
  const status: Status = clone(d.status ?? {})
  status.acceptedNames ??= none
  const approval = approvalCondition(d)
  if (approval) setCondition(status, approval)
  const next = { ...d, status }
  if (accepted(next) && !established(next) && rivals.some(rival => isTaken(status.acceptedNames!, version, rival)))
    status.acceptedNames = none
  if (!semanticEqual(d.spec.names, status.acceptedNames)) giveNames(next, status, rivals)
  else if (accepted(next) && !established(next)) setCondition(status, establishedCondition(d))
  return semanticEqual(status, d.status) ? undefined : status
}

function establishedCondition({ spec }: CustomResourceDefinition): Condition {
  const type = 'Established'
  if (unreadableBundle(spec.conversion?.webhook?.clientConfig?.caBundle) !== undefined)
    return { type, status: 'False', reason: 'InvalidCABundle', message: 'The conversion webhook CABundle is invalid' }
  return { type, status: 'True', reason: 'InitialNamesAccepted', message: 'the initial names have been accepted' }
}

const accepted = (d: CustomResourceDefinition): boolean => hasCondition(d, 'NamesAccepted')
const established = (d: CustomResourceDefinition): boolean => hasCondition(d, 'Established')

function approvalCondition({ metadata, spec }: CustomResourceDefinition): Condition | undefined {
  const approval = approvalOf(spec.group, metadata.annotations)
  if (!approval) return undefined
  const { reason, message } = approval
  return {
    type: 'KubernetesAPIApprovalPolicyConformant',
    status: reason === 'ApprovedAnnotation' ? 'True' : 'False',
    reason,
    message,
  }
}

const resourceNames = (names: CustomResourceDefinitionNames): string[] =>
  [names.plural, names.singular ?? '', ...(names.shortNames ?? [])].filter(n => n !== '')
const kindNames = (names: CustomResourceDefinitionNames): string[] => [names.kind, names.listKind ?? ''].filter(n => n !== '')

/**
 * Two API servers may give one name to two definitions at the same time. The one that got it later loses it before it is Established: it is
 * established from what is stored as `version`, and whoever does that knows everything that was stored before.
 */
function isTaken(names: CustomResourceDefinitionNames, version: number, rival: Rival): boolean {
  if (!rival.established && rival.version > version) return false
  const common = (a: readonly string[], b: readonly string[]): boolean => a.some(name => b.includes(name))
  return common(resourceNames(names), resourceNames(rival.names)) || common(kindNames(names), kindNames(rival.names))
}

/** Each name that is free, or the definition's already. Changes `status`, which is that of `d`. */
function giveNames(d: CustomResourceDefinition, status: Status, rivals: readonly Rival[]): void {
  const resources = new Set(rivals.flatMap(rival => resourceNames(rival.names)))
  const kinds = new Set(rivals.flatMap(rival => kindNames(rival.names)))
  const wanted = d.spec.names
  const names = { ...status.acceptedNames! }
  let conflict: { reason: string; message: string } | undefined
  const inUse = (name: string): string => `${JSON.stringify(name)} is already in use`
  const give = (field: 'plural' | 'singular' | 'kind' | 'listKind', taken: ReadonlySet<string>): void => {
    const name = wanted[field] ?? ''
    if (name !== names[field] && taken.has(name))
      conflict = { reason: `${field.slice(0, 1).toUpperCase()}${field.slice(1)}Conflict`, message: inUse(name) }
    else if (wanted[field] !== undefined) names[field] = name
  }
  give('plural', resources)
  give('singular', resources)
  const clashes = (wanted.shortNames ?? []).filter(name => !names.shortNames?.includes(name) && resources.has(name)).map(inUse)
  if (clashes.length > 0)
    conflict = { reason: 'ShortNamesConflict', message: clashes.length === 1 ? clashes[0]! : `[${[...new Set(clashes)].join(', ')}]` }
  else if (wanted.shortNames) names.shortNames = wanted.shortNames
  else delete names.shortNames
  give('kind', kinds)
  give('listKind', kinds)
  if (wanted.categories) names.categories = wanted.categories
  else delete names.categories
  status.acceptedNames = names
  setCondition(
    status,
    conflict
      ? { type: 'NamesAccepted', status: 'False', ...conflict }
      : { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts', message: 'no conflicts found' },
  )
  if (established(d)) return
  setCondition(status, {
    type: 'Established',
    status: 'False',
    ...(conflict
      ? { reason: 'NotAccepted', message: 'not all names are accepted' }
      : { reason: 'Installing', message: 'the initial names have been accepted' }),
  })
}
