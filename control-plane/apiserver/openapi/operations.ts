/**
 * The operations of a resource, by path, in the form that OpenAPI v3 and v2 share: the versions differ in how they write parameters and
 * bodies.
 */
import type { Resource, Subresource, Verb } from '#shared/api/resource.ts'

export interface Parameter {
  readonly name: string
  readonly in: 'query' | 'path'
  readonly type: 'string' | 'integer' | 'boolean'
  readonly description: string
}
export interface Operation {
  readonly path: string
  readonly method: 'get' | 'put' | 'post' | 'delete' | 'patch'
  readonly id: string
  readonly description: string
  /** `x-kubernetes-action`. */
  readonly action: string
  readonly kind: { group: string; kind: string; version: string }
  readonly parameters: readonly Parameter[]
  /** Names of the types of body and answer; `Patch` bodies have their own media types. `''` when there is none. */
  readonly body: string
  readonly answer: string
  /** The media types of patches: kubectl makes a strategic one where it reads that it may, and custom kinds take none. */
  readonly patches: readonly string[]
}
/** A resource in the version it is served in, with the names of its types. */
export interface Subject {
  readonly resource: Resource
  readonly group: string
  readonly version: string
  readonly type: string
  readonly listType: string
}

const plainPatches = ['application/json-patch+json', 'application/merge-patch+json', 'application/apply-patch+yaml']
const allPatches = [...plainPatches, 'application/strategic-merge-patch+json']

export const patchType = 'io.k8s.apimachinery.pkg.apis.meta.v1.Patch'
export const statusType = 'io.k8s.apimachinery.pkg.apis.meta.v1.Status'
export const deleteOptionsType = 'io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions'

const query = (name: string, type: Parameter['type'], description: string): Parameter => ({ name, in: 'query', type, description })
const pretty = query('pretty', 'string', 'If true, the answer is indented.')
const dryRun = query('dryRun', 'string', 'All: the request goes through every stage, but nothing is stored.')
const fieldManager = query(
  'fieldManager',
  'string',
  'The name under which the change is recorded in managedFields; at most 128 printable characters.',
)
const fieldValidation = query('fieldValidation', 'string', 'What to do about unknown and duplicate fields: Ignore, Warn or Strict.')
const force = query('force', 'boolean', 'Take over fields of other managers; for apply only.')
const listing = [
  query('allowWatchBookmarks', 'boolean', 'Send BOOKMARK events.'),
  query('continue', 'string', 'The token of the answer before.'),
  query('fieldSelector', 'string', 'Only objects whose fields match.'),
  query('labelSelector', 'string', 'Only objects whose labels match.'),
  query('limit', 'integer', 'The most items in one answer.'),
  query('resourceVersion', 'string', 'The version to read at or to watch from.'),
  query('resourceVersionMatch', 'string', 'How resourceVersion is to be taken: Exact or NotOlderThan.'),
  query('sendInitialEvents', 'boolean', 'Begin a watch with the objects that exist.'),
  query('timeoutSeconds', 'integer', 'How long the call may last.'),
]
const watching = query('watch', 'boolean', 'Stream changes instead of listing.')
const deleting = [
  dryRun,
  query('gracePeriodSeconds', 'integer', 'How long the object may take to end; 0 at once.'),
  query('orphanDependents', 'boolean', 'Old form of propagationPolicy.'),
  query('propagationPolicy', 'string', 'What becomes of dependents: Orphan, Background or Foreground.'),
]
const writing = [dryRun, fieldManager, fieldValidation]
export const namespaceParameter: Parameter = { name: 'namespace', in: 'path', type: 'string', description: 'The namespace.' }
export const nameParameter: Parameter = { name: 'name', in: 'path', type: 'string', description: 'The name of the object.' }

const allVerbs: readonly Verb[] = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']
const capital = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1)

/** The part of an operation's id that names the group and version: `CoreV1`, `AppsV1`, `DiscoveryV1`. */
const idGroup = (s: Subject): string => `${capital(s.group === '' ? 'core' : s.group.split('.')[0]!)}${capital(s.version)}`

/** Every operation of a resource. `types` gives the type of a subresource's body, `''` for none. */
export function operationsOf(s: Subject, typeOfSubresource: (name: string, sub: Subresource) => string): Operation[] {
  const { resource: r } = s
  const verbs = r.verbs ?? allVerbs
  const root = s.group === '' ? `/api/${s.version}` : `/apis/${s.group}/${s.version}`
  const collection = r.namespaced ? `${root}/namespaces/{namespace}/${r.plural}` : `${root}/${r.plural}`
  const item = `${collection}/{name}`
  const kind = { group: s.group, version: s.version, kind: r.kind }
  const scope = r.namespaced ? 'Namespaced' : ''
  const id = (verb: string, what = `${scope}${r.kind}`): string => `${verb}${idGroup(s)}${what}`
  const patches = r.structural ? plainPatches : allPatches
  const out: Operation[] = []
  const add = (
    path: string,
    method: Operation['method'],
    verb: string,
    action: string,
    description: string,
    parameters: readonly Parameter[],
    body: string,
    answer: string,
    what?: string,
  ): void => {
    const places = [
      ...(path.includes('{name}') ? [nameParameter] : []),
      ...(path.includes('{namespace}') ? [namespaceParameter] : []),
      pretty,
    ]
    out.push({ path, method, id: id(verb, what), description, action, kind, parameters: [...places, ...parameters], body, answer, patches })
  }
  if (verbs.includes('list')) {
    add(collection, 'get', 'list', 'list', `list or watch objects of kind ${r.kind}`, [...listing, watching], '', s.listType)
    if (r.namespaced)
      add(
        `${root}/${r.plural}`,
        'get',
        'list',
        'list',
        `list or watch objects of kind ${r.kind}`,
        [...listing, watching],
        '',
        s.listType,
        `${r.kind}ForAllNamespaces`,
      )
  }
  if (verbs.includes('create')) add(collection, 'post', 'create', 'post', `create a ${r.kind}`, writing, s.type, s.type)
  if (verbs.includes('deletecollection')) {
    add(
      collection,
      'delete',
      'delete',
      'deletecollection',
      `delete collection of ${r.kind}`,
      [...listing, ...deleting],
      deleteOptionsType,
      statusType,
      `Collection${scope}${r.kind}`,
    )
  }
  if (verbs.includes('get')) add(item, 'get', 'read', 'get', `read the specified ${r.kind}`, [], '', s.type)
  if (verbs.includes('update')) add(item, 'put', 'replace', 'put', `replace the specified ${r.kind}`, writing, s.type, s.type)
  if (verbs.includes('patch'))
    add(item, 'patch', 'patch', 'patch', `partially update the specified ${r.kind}`, [...writing, force], patchType, s.type)
  if (verbs.includes('delete')) add(item, 'delete', 'delete', 'delete', `delete a ${r.kind}`, deleting, deleteOptionsType, statusType)
  for (const [name, sub] of Object.entries(r.subresources ?? {})) {
    const type = typeOfSubresource(name, sub)
    const own = { group: sub.group ?? s.group, version: sub.version ?? s.version, kind: sub.kind ?? r.kind }
    for (const verb of sub.verbs)
      for (const operation of subresourceOperations(`${item}/${name}`, verb, type)) {
        const what = `${scope}${r.kind}${capital(name)}`
        const places = [nameParameter, ...(r.namespaced ? [namespaceParameter] : []), pretty]
        out.push({
          ...operation,
          id: id(operation.id, what),
          description: `${operation.id} ${name} of the specified ${r.kind}`,
          kind: own,
          parameters: [...places, ...operation.parameters],
          patches,
        })
      }
  }
  return out
}

type Draft = Omit<Operation, 'kind' | 'description' | 'patches'>

/** `id` holds the verb until the caller makes the whole of it. */
function subresourceOperations(path: string, verb: string, type: string): Draft[] {
  switch (verb) {
    case 'get':
      return [{ path, method: 'get', id: 'read', action: 'get', parameters: [], body: '', answer: type }]
    case 'update':
      return [{ path, method: 'put', id: 'replace', action: 'put', parameters: writing, body: type, answer: type }]
    case 'patch':
      return [{ path, method: 'patch', id: 'patch', action: 'patch', parameters: [...writing, force], body: patchType, answer: type }]
    case 'create':
      return [{ path, method: 'post', id: 'create', action: 'post', parameters: writing, body: type, answer: type }]
    case 'connect':
      return (['get', 'post'] as const).map(method => ({
        path,
        method,
        id: `connect${capital(method)}`,
        action: 'connect',
        parameters: [],
        body: '',
        answer: '',
      }))
    default:
      return []
  }
}
