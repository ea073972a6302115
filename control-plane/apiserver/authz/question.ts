/** A question as a SubjectAccessReview has it. */
import { parseFieldSelector } from '#shared/machinery/fieldselector.ts'
import { parseLabelSelector, type LabelOperator } from '#shared/machinery/labels.ts'
import type { Attributes } from './authorizer.ts'

interface Requirement {
  key: string
  operator: string
  values?: readonly string[]
}

interface Requirements {
  requirements: Requirement[]
}

const labelOperators: Partial<Record<LabelOperator, string>> = {
  in: 'In',
  '=': 'In',
  '==': 'In',
  notin: 'NotIn',
  '!=': 'NotIn',
  exists: 'Exists',
  '!': 'DoesNotExist',
}

/** Selectors only narrow what is asked for: of one that cannot be read nothing is said. */
function requirements(parse: () => Requirement[]): Requirements | undefined {
  try {
    const found = parse()
    return found.length > 0 ? { requirements: found } : undefined
  } catch {
    return undefined
  }
}

export const fieldRequirements = ({ fieldSelector = '' }: Attributes): Requirements | undefined =>
  requirements(() =>
    parseFieldSelector(fieldSelector).map(r => ({ key: r.field, operator: r.operator === '=' ? 'In' : 'NotIn', values: [r.value] })),
  )

export const labelRequirements = ({ labelSelector = '' }: Attributes): Requirements | undefined =>
  requirements(() =>
    parseLabelSelector(labelSelector).flatMap(r => {
      const operator = labelOperators[r.operator]
      return operator === undefined ? [] : [{ key: r.key, operator, ...(r.values.length > 0 ? { values: r.values } : {}) }]
    }),
  )

/** The spec of the question. */
export function questionOf(a: Attributes): object {
  const { user, isResource, verb, path } = a
  const who = {
    user: user.name,
    ...(user.groups.length > 0 ? { groups: user.groups } : {}),
    ...(user.extra ? { extra: user.extra } : {}),
    ...(user.uid ? { uid: user.uid } : {}),
  }
  if (!isResource) return { nonResourceAttributes: { path, verb }, ...who }
  const { namespace, group, version, resource, subresource, name } = a
  const given = Object.entries({ namespace, verb, group, version, resource, subresource, name }).filter(([, value]) => value !== '')
  const fields = fieldRequirements(a)
  const labels = labelRequirements(a)
  return {
    resourceAttributes: {
      ...Object.fromEntries(given),
      ...(fields ? { fieldSelector: fields } : {}),
      ...(labels ? { labelSelector: labels } : {}),
    },
    ...who,
  }
}
