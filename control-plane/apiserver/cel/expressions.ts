/**
 * Kinds with expressions in their objects, with the rules that those must follow; the rules of the kinds themselves only want them to be
 * there.
 */
import { customResourceDefinitions } from '#shared/api/kinds.ts'
import type { Kind, Resource } from '#shared/api/resource.ts'
import { withRules as definitionRules } from './crd/expressions.ts'
import { withSelectors } from './dra/expressions.ts'

const isSame = (a: Kind, b: Kind): boolean => a.group === b.group && a.plural === b.plural

/** The resource as it is where its objects have no expressions. */
export function withRules(resource: Resource): Resource {
  return isSame(resource, customResourceDefinitions) ? definitionRules(resource) : withSelectors(resource)
}
