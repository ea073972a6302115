import { expect, it } from 'vitest'
import { newMatcher, type Criteria, type MatchRule } from '#control-plane/apiserver/admission/matching.ts'
import type { Attributes } from '#control-plane/apiserver/admission/admission.ts'
import type { Registry } from '#control-plane/apiserver/registry/registry.ts'
import type { Serving } from '#control-plane/apiserver/surface.ts'
import { resources } from '#shared/api/resources.ts'
import { versionsOf } from '#shared/api/resource.ts'
import { StatusError } from '#shared/machinery/status.ts'

const labels: Record<string, object> = { plain: {}, marked: { team: 'a' } }
const registry = {
  get: (_: unknown, __: string, name: string) => labels[name] && { labels: labels[name] },
  fresh: async () => {},
} as unknown as Registry
const kinds = new Map(resources.flatMap(r => versionsOf(r).map(v => [`${v.group}/${v.version}/${r.plural}`, { resource: r }] as const)))
const serving = { kinds } as unknown as Serving

const request = (given: Partial<Attributes> & { gvr?: string; ofKind?: string } = {}): Attributes => {
  const { gvr = '/v1/configmaps', ofKind = 'ConfigMap', ...rest } = given
  const [group = '', version = '', resource = ''] = gvr.split('/')
  const own = { requestResource: { group, version, resource }, requestKind: { group, version, kind: ofKind } }
  return { operation: 'CREATE', subresource: '', namespace: 'plain', name: 'x', object: { metadata: {} }, ...own, ...rest } as Attributes
}
const rule = (given: Partial<MatchRule> = {}): MatchRule => ({
  apiGroups: [''],
  apiVersions: ['v1'],
  operations: ['CREATE'],
  resources: ['configmaps'],
  scope: '*',
  ...given,
})
const match = (criteria: Criteria, a: Attributes) => newMatcher(criteria, registry, () => serving).match(a)
const matches = (criteria: Criteria, a: Attributes): boolean => match(criteria, a) !== undefined

it('goes by group, version, operation, resource and subresource, with stars', () => {
  const by = (r: Partial<MatchRule>, a = request()) => matches({ resourceRules: [rule(r)] }, a)
  expect(by({})).toBe(true)
  expect(by({ operations: ['UPDATE'] })).toBe(false)
  expect(by({ operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*'] })).toBe(true)
  expect(by({ resources: ['*'] }, request({ subresource: 'status' }))).toBe(false)
  expect(by({ resources: ['configmaps/*'] }, request({ subresource: 'status' }))).toBe(true)
  expect(by({ resources: ['*/status'] }, request({ subresource: 'status' }))).toBe(true)
  expect(by({ scope: 'Cluster' })).toBe(false)
  expect(by({ scope: 'Namespaced' })).toBe(true)
  expect(by({ resourceNames: ['y'] })).toBe(false)
  expect(by({ resourceNames: ['y', 'x'] })).toBe(true)
  expect(matches({ resourceRules: [rule()], excludeResourceRules: [rule({ resourceNames: ['x'] })] }, request())).toBe(false)
  expect(matches({}, request())).toBe(true)
})

it('takes other versions of a resource for it only when it may, and says which', () => {
  const events = rule({ apiGroups: ['events.k8s.io'], resources: ['events'] })
  const asked = request({ gvr: '/v1/events', ofKind: 'Event' })
  expect(matches({ resourceRules: [events], matchPolicy: 'Exact' }, asked)).toBe(false)
  expect(match({ resourceRules: [events], matchPolicy: 'Equivalent' }, asked)).toEqual({
    kind: { group: 'events.k8s.io', version: 'v1', kind: 'Event' },
    resource: { group: 'events.k8s.io', version: 'v1', resource: 'events' },
  })
})

it('asks the labels of the namespace, and of a namespace that is written itself', async () => {
  const namespaceSelector = { matchLabels: { team: 'a' } }
  const criteria = { resourceRules: [rule({ resources: ['configmaps', 'namespaces', 'nodes'] })], namespaceSelector }
  expect(matches(criteria, request())).toBe(false)
  expect(matches(criteria, request({ namespace: 'marked' }))).toBe(true)
  const namespace = { gvr: '/v1/namespaces', ofKind: 'Namespace', namespace: '' }
  expect(matches(criteria, request({ ...namespace, name: 'plain', object: { metadata: { labels: { team: 'a' } } } as never }))).toBe(true)
  expect(matches(criteria, request({ gvr: '/v1/nodes', ofKind: 'Node', namespace: '' }))).toBe(true)
  await expect(match(criteria, request({ namespace: 'nowhere' }))).rejects.toThrow(StatusError)
})

it('asks the labels of the object as it was and as it will be', () => {
  const criteria = { resourceRules: [rule()], objectSelector: { matchLabels: { team: 'a' } } }
  const labelled = { metadata: { labels: { team: 'a' } } } as never
  expect(matches(criteria, request())).toBe(false)
  expect(matches(criteria, request({ object: labelled }))).toBe(true)
  expect(matches(criteria, request({ old: labelled }))).toBe(true)
  expect(matches(criteria, request({ object: undefined }))).toBe(false)
})

it('tells what is wrong with a selector only to requests that it is about', () => {
  const objectSelector = { matchExpressions: [{ key: 'a', operator: 'In', values: [] }] }
  expect(matches({ resourceRules: [rule({ resources: ['secrets'] })], objectSelector }, request())).toBe(false)
  expect(() => match({ resourceRules: [rule()], objectSelector }, request())).toThrow("values set can't be empty")
})
