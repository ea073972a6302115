/**
 * Decisions of authorization with 1,000 roles and 5,000 bindings in the store: of requests that a binding allows, and of ones that
 * nothing allows. In this process, on a registry of its own.
 */
import { logger } from '#shared/component/log.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Attributes, Authorizer } from '#control-plane/apiserver/authz/authorizer.ts'
import { union } from '#control-plane/apiserver/authz/authorizer.ts'
import { nodeAuthorizer } from '#control-plane/apiserver/authz/node/node.ts'
import { followPolicy } from '#control-plane/apiserver/authz/rbac/policy.ts'
import { rbacAuthorizer } from '#control-plane/apiserver/authz/rbac/rbac.ts'
import { openRegistry } from '#control-plane/apiserver/registry/jetstream.ts'
import { startNats } from '../fixtures/nats.ts'
import type { LocalMeasurement, Row } from './measurement.ts'

const [roles, bindings, namespaces, users] = [1000, 5000, 100, 500]
const decisions = 200_000
/** Ten microseconds a decision. */
const target = 100_000
const group = 'rbac.authorization.k8s.io'
const verbs = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete']
const resources = ['pods', 'services', 'configmaps', 'secrets', 'deployments', 'jobs', 'events', 'leases']

const pick = <T>(of: readonly T[], i: number): T => of[i % of.length]!
const namespaceOf = (i: number): string => `namespace-${i % namespaces}`

/** Role `i` allows three verbs on two resources in its namespace; binding `i` gives one role to a user or, every fifth, to a group. */
const role = (i: number): KubeObject => ({
  kind: 'Role',
  apiVersion: `${group}/v1`,
  metadata: { name: `role-${i}`, namespace: namespaceOf(i) },
  rules: [{ apiGroups: [''], resources: [pick(resources, i), pick(resources, i + 3)], verbs: [0, 1, 2].map(v => pick(verbs, i + v)) }],
})
const binding = (i: number): KubeObject => ({
  kind: 'RoleBinding',
  apiVersion: `${group}/v1`,
  metadata: { name: `binding-${i}`, namespace: namespaceOf(i) },
  roleRef: { apiGroup: group, kind: 'Role', name: `role-${i % roles}` },
  subjects: [
    i % 5 === 0
      ? { kind: 'Group', apiGroup: group, name: `group-${i % 50}` }
      : { kind: 'User', apiGroup: group, name: `user-${i % users}` },
  ],
})

/** What binding `i` allows, asked by who it names. */
function allowed(i: number): Attributes {
  const user =
    i % 5 === 0
      ? { name: 'member', groups: [`group-${i % 50}`, 'system:authenticated'] }
      : { name: `user-${i % users}`, groups: ['system:authenticated'] }
  return {
    user,
    verb: pick(verbs, i % roles),
    isResource: true,
    group: '',
    version: 'v1',
    resource: pick(resources, i % roles),
    subresource: '',
    namespace: namespaceOf(i),
    name: '',
    path: '',
  }
}

function rate(authorizer: Authorizer, questions: readonly Attributes[], decision: string): number {
  for (const q of questions)
    if ((authorizer.authorize(q) as { decision: string }).decision !== decision) throw new Error(`not ${decision}: ${JSON.stringify(q)}`)
  const began = performance.now()
  for (let i = 0; i < decisions; i++) authorizer.authorize(questions[i % questions.length]!)
  return decisions / ((performance.now() - began) / 1000)
}

export const measureAuthorization: LocalMeasurement = async () => {
  const nats = await startNats()
  const log = logger('bench')
  log.level = 'silent'
  const registry = await openRegistry({ connection: await nats.connect('registry'), log })
  try {
    const table = (plural: string) => ({ group, plural })
    const put = (plural: string, object: KubeObject) =>
      registry.put(table(plural), object.metadata.namespace!, object.metadata.name!, object, 0)
    const objects = [
      ...Array.from({ length: roles }, (_, i) => ['roles', role(i)] as const),
      ...Array.from({ length: bindings }, (_, i) => ['rolebindings', binding(i)] as const),
    ]
    for (let i = 0; i < objects.length; i += 100)
      await Promise.all(objects.slice(i, i + 100).map(([plural, object]) => put(plural, object)))
    const policy = followPolicy(registry)
    const authorizer = union([nodeAuthorizer(registry), rbacAuthorizer(policy)])
    const may = Array.from({ length: bindings }, (_, i) => allowed(i))
    const rows: Row[] = [
      {
        name: `authorization: decisions, allowed by one of ${bindings} bindings`,
        unit: '/s',
        value: rate(authorizer, may, 'allow'),
        target,
      },
      {
        name: 'authorization: decisions, allowed by none',
        unit: '/s',
        value: rate(
          authorizer,
          may.map(q => ({ ...q, resource: 'nodes' })),
          'no opinion',
        ),
        target,
      },
    ]
    policy.stop()
    return rows
  } finally {
    await registry.close()
    await nats.stop()
  }
}
