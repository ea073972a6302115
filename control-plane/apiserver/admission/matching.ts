/**
 * Which requests a webhook or a policy is for: rules, names and selectors (k8s.io/apiserver/pkg/admission/plugin/policy/matching and
 * webhook/predicates).
 */
import type { LabelSelector } from '#shared/api/meta/labelselector.ts'
import { versionsOf, type Resource } from '#shared/api/resource.ts'
import { matchesLabels, selectorOf, type Labels, type Selector } from '#shared/machinery/labels.ts'
import { after, type Maybe } from '#shared/machinery/maybe.ts'
import { notFound } from '#shared/machinery/status.ts'
import type { Registry, Stored } from '../registry/registry.ts'
import type { Serving } from '../surface.ts'
import type { Attributes, GroupVersionKind, GroupVersionResource } from './admission.ts'

export interface MatchRule {
  readonly operations?: readonly string[] | undefined
  readonly apiGroups?: readonly string[] | undefined
  readonly apiVersions?: readonly string[] | undefined
  readonly resources?: readonly string[] | undefined
  readonly scope?: string | undefined
  /** All when empty. */
  readonly resourceNames?: readonly string[] | undefined
}
/** MatchResources of a policy or binding; of a webhook its rules are the `resourceRules`. */
export interface Criteria {
  readonly namespaceSelector?: LabelSelector | undefined
  readonly objectSelector?: LabelSelector | undefined
  /** Everything when empty. */
  readonly resourceRules?: readonly MatchRule[] | undefined
  readonly excludeResourceRules?: readonly MatchRule[] | undefined
  readonly matchPolicy?: string | undefined
}

/** The form in which a request is meant: the one that the client used, or an equivalent one that a rule names. */
export interface Match {
  readonly kind: GroupVersionKind
  readonly resource: GroupVersionResource
}

export interface Matcher {
  /** Whether a request for this resource may be meant, whatever its object is: the same for all that ask for it in this way. */
  concerns(a: Attributes): boolean
  /**
   * Undefined when the request is not meant. Throws, or rejects with, what is wrong with the selectors, or that the namespace is not there.
   */
  match(a: Attributes): Maybe<Match | undefined>
}

const namespaceTable = { group: '', plural: 'namespaces' }

/** The namespace as this server knows it, at once; else as the store has it. Undefined when there is none. */
export function namespaceOf(registry: Registry, name: string): Maybe<Stored | undefined> {
  const known = registry.get(namespaceTable, '', name)
  return known ?? registry.fresh().then(() => registry.get(namespaceTable, '', name))
}

export function newMatcher(criteria: Criteria, registry: Registry, serving: () => Serving): Matcher {
  const { resourceRules = [], excludeResourceRules = [], matchPolicy } = criteria
  const inNamespaces = labelsCheck(criteria.namespaceSelector)
  const objects = labelsCheck(criteria.objectSelector)

  function byRules(rules: readonly MatchRule[], a: Attributes, test: typeof applies): Match | undefined {
    if (rules.some(rule => test(rule, a, a.requestResource))) return { kind: a.requestKind, resource: a.requestResource }
    if (matchPolicy !== 'Equivalent') return undefined
    const { group, version, resource } = a.requestResource
    const served = serving().kinds.get(`${group}/${version}/${resource}`)?.resource
    if (!served || !(served.versions && served.versions.length > 1)) return undefined
    const others = versionsOf(served).filter(v => v.group !== group || v.version !== version)
    for (const rule of rules)
      for (const other of others) {
        const equivalent = { group: other.group, version: other.version, resource }
        if (test(rule, a, equivalent)) return { kind: kindIn(served, a, equivalent), resource: equivalent }
      }
    return undefined
  }
  const meant = (a: Attributes): Match | undefined => {
    if (byRules(excludeResourceRules, a, applies)) return undefined
    return resourceRules.length === 0 ? { kind: a.requestKind, resource: a.requestResource } : byRules(resourceRules, a, applies)
  }
  return {
    concerns: a => resourceRules.length === 0 || byRules(resourceRules, a, concerns) !== undefined,
    match(a) {
      const match = meant(a)
      if (!match) return undefined
      if (!objects.all && !objects.of(labelsOf(a.object)) && !objects.of(labelsOf(a.old))) {
        if (!objects.error) return undefined
      }
      return after(namespaceLabels(registry, a, inNamespaces), labels => {
        if (labels !== everywhere && !inNamespaces.of(labels)) {
          if (inNamespaces.error) throw inNamespaces.error
          return undefined
        }
        if (objects.error) throw objects.error
        return match
      })
    },
  }
}

/** A selector made ready; one that is wrong selects nothing, and its error is told when it matters. */
interface LabelsCheck {
  readonly all: boolean
  readonly error: Error | undefined
  of(labels: Labels | undefined): boolean
}
function labelsCheck(given: LabelSelector | undefined): LabelsCheck {
  let selector: Selector = []
  let error: Error | undefined
  try {
    selector = selectorOf(given ?? {})!
  } catch (e) {
    error = e as Error
  }
  return {
    all: error === undefined && selector.length === 0,
    error,
    of: l => error === undefined && l !== undefined && matchesLabels(selector, l),
  }
}

const labelsOf = (object: Attributes['object']): Labels | undefined => (object?.metadata ? (object.metadata.labels ?? {}) : undefined)
const everywhere = {}

/** The labels that a namespace selector is about; `everywhere` for what is in no namespace. */
function namespaceLabels(registry: Registry, a: Attributes, selector: LabelsCheck): Maybe<Labels> {
  if (selector.all) return everywhere
  const isNamespace = isNamespaces(a.requestResource)
  if (isNamespace && a.subresource === '' && (a.operation === 'CREATE' || a.operation === 'UPDATE')) return labelsOf(a.object) ?? {}
  const name = isNamespace ? a.name : a.namespace
  if (name === '') return everywhere
  return after(namespaceOf(registry, name), found => {
    if (!found) throw notFound({ group: '', resource: 'namespaces' }, name)
    return found.labels ?? {}
  })
}

const isNamespaces = ({ group, resource }: GroupVersionResource): boolean => group === '' && resource === 'namespaces'

/** The kind of the request in another form; bodies of another kind (Scale) are of that in all forms. */
function kindIn(served: Resource, a: Attributes, { group, version }: GroupVersionResource): GroupVersionKind {
  return a.requestKind.kind === served.kind && a.requestKind.group === a.requestResource.group
    ? { group, version, kind: served.kind }
    : a.requestKind
}

const names = (list: readonly string[] = [], value: string): boolean => list.includes('*') || list.includes(value)

/** Whether a rule is for an operation on a resource, whichever object it is about. */
function concerns(rule: MatchRule, a: Attributes, { group, version, resource }: GroupVersionResource): boolean {
  return (
    names(rule.apiGroups, group) &&
    names(rule.apiVersions, version) &&
    names(rule.operations, a.operation) &&
    (rule.resources ?? []).some(entry => {
      const [name, subresource = ''] = entry.split('/', 2) as [string, string?]
      return (name === '*' || name === resource) && (subresource === '*' || subresource === a.subresource)
    })
  )
}

function applies(rule: MatchRule, a: Attributes, resource: GroupVersionResource): boolean {
  if (!concerns(rule, a, resource)) return false
  const isNamespaced = a.namespace !== '' && !isNamespaces(resource)
  if (rule.scope === 'Namespaced' && !isNamespaced) return false
  if (rule.scope === 'Cluster' && isNamespaced) return false
  return !rule.resourceNames?.length || rule.resourceNames.includes(a.name)
}

const configurationKinds = new Set([
  'MutatingAdmissionPolicy',
  'MutatingAdmissionPolicyBinding',
  'MutatingWebhookConfiguration',
  'ValidatingAdmissionPolicy',
  'ValidatingAdmissionPolicyBinding',
  'ValidatingWebhookConfiguration',
])
/** Whether a request is about what configures webhooks and policies: they are not asked, so that what is wrong with them can be mended. */
export const isAdmissionConfiguration = ({ kind }: Attributes): boolean =>
  kind.group === 'admissionregistration.k8s.io' && configurationKinds.has(kind.kind)
