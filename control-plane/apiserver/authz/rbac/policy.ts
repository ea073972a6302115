/**
 * Roles and bindings as decisions need them: by subject, each role compiled once. Follows the store: it changes in the tick in which this
 * server's cache does, so that what a request reads and what it may do are of one version.
 */
import type { ClusterRole } from '#shared/api/rbac/clusterrole.ts'
import type { ClusterRoleBinding } from '#shared/api/rbac/clusterrolebinding.ts'
import type { PolicyRule } from '#shared/api/rbac/policyrule.ts'
import { rbacGroup } from '#shared/api/rbac/policyrule.ts'
import type { RoleRef, Subject } from '#shared/api/rbac/subject.ts'
import type { UserInfo } from '#shared/bus/transport.ts'
import type { Registry, Stored, Table } from '../../registry/registry.ts'
import type { Decision } from '../authorizer.ts'
import { compile, type CompiledRules } from './matching.ts'

export interface Role {
  readonly rules: readonly PolicyRule[]
  /** Made when first asked. */
  compiled: CompiledRules | undefined
}

/** One subject of a binding: what it gives it. */
export interface Grant {
  readonly binding: string
  /** `Role` or `ClusterRole`, and its key in the roles. */
  readonly kind: string
  readonly roleName: string
  readonly role: string
  /** The decision when the role allows something; made when first needed. */
  readonly allowed: Decision
}

/** Grants by binding: one for each subject that it names. */
type Grants = Map<string, Grant>

export interface Policy {
  /** Roles by `namespace/name`, ClusterRoles by `/name`. */
  role(key: string): Role | undefined
  /** What a user or a group is given everywhere (`''`) or in a namespace. */
  grants(subject: string, namespace: string): ReadonlyMap<string, Grant> | undefined
  stop(): void
}

const tables = {
  roles: { group: rbacGroup, plural: 'roles' },
  clusterRoles: { group: rbacGroup, plural: 'clusterroles' },
  roleBindings: { group: rbacGroup, plural: 'rolebindings' },
  clusterRoleBindings: { group: rbacGroup, plural: 'clusterrolebindings' },
} satisfies Record<string, Table>

export const userKey = (name: string): string => `u:${name}`
export const groupKey = (name: string): string => `g:${name}`

/** Everything that a user is a subject as. */
export function subjectsOf(user: UserInfo): string[] {
  const subjects = [userKey(user.name)]
  for (const group of user.groups) subjects.push(groupKey(group))
  return subjects
}

/** The key of a subject; a service account is known by its user. Undefined for what is nobody. */
function keyOf(s: Subject, namespace: string): string | undefined {
  if (s.kind === 'User') return userKey(s.name)
  if (s.kind === 'Group') return groupKey(s.name)
  const of = s.namespace || namespace
  return s.kind === 'ServiceAccount' && of !== '' ? userKey(`system:serviceaccount:${of}:${s.name}`) : undefined
}

/** In upstream's words, for the reasons of decisions. */
function grantOf(binding: Stored, { kind, name }: RoleRef, s: Subject): Grant {
  const { namespace } = binding
  const [where, bindingName] = namespace === '' ? ['ClusterRoleBinding', binding.name] : ['RoleBinding', `${binding.name}/${namespace}`]
  const who = s.kind === 'ServiceAccount' ? `${s.name}/${s.namespace || namespace}` : s.name
  return {
    binding: binding.name,
    kind,
    roleName: name,
    role: kind === 'ClusterRole' ? `/${name}` : `${namespace}/${name}`,
    allowed: {
      decision: 'allow',
      reason: `RBAC: allowed by ${where} ${JSON.stringify(bindingName)} of ${kind} ${JSON.stringify(name)} to ${s.kind} ${JSON.stringify(who)}`,
    },
  }
}

/** Follows the roles and bindings of the store until it is stopped. */
export function followPolicy(registry: Registry): Policy {
  const roles = new Map<string, Role>()
  /** By `subject`, then by namespace. */
  const bySubject = new Map<string, Map<string, Grants>>()
  const stops = new Map<Table, () => void>()

  const setRole = ({ namespace, name, object }: Stored): void => {
    roles.set(`${namespace}/${name}`, { rules: (object as ClusterRole).rules ?? [], compiled: undefined })
  }
  const eachSubject = (binding: Stored, visit: (subject: string, grant: Grant) => void): void => {
    const { subjects, roleRef } = binding.object as ClusterRoleBinding
    for (const s of subjects ?? []) {
      const key = keyOf(s, binding.namespace)
      if (key !== undefined) visit(key, grantOf(binding, roleRef, s))
    }
  }
  const bind = (binding: Stored): void =>
    eachSubject(binding, (subject, grant) => {
      let scopes = bySubject.get(subject)
      if (!scopes) bySubject.set(subject, (scopes = new Map()))
      const grants = scopes.get(binding.namespace)
      if (grants) grants.set(binding.name, grant)
      else scopes.set(binding.namespace, new Map([[binding.name, grant]]))
    })
  const unbind = (binding: Stored): void =>
    eachSubject(binding, subject => {
      const scopes = bySubject.get(subject)
      const grants = scopes?.get(binding.namespace)
      if (!grants?.delete(binding.name) || grants.size > 0) return
      scopes!.delete(binding.namespace)
      if (scopes!.size === 0) bySubject.delete(subject)
    })

  const follow = (table: Table, set: (s: Stored) => void, unset: (s: Stored) => void): void => {
    const known = new Map<string, Stored>()
    const key = (s: Stored): string => `${s.namespace}/${s.name}`
    const take = (s: Stored | undefined, id: string): void => {
      const before = known.get(id)
      if (before) unset(before)
      if (!s) return void known.delete(id)
      known.set(id, s)
      set(s)
    }
    const begin = (): void => {
      const there = registry.list(table)
      const keys = new Set(there.map(key))
      for (const id of known.keys()) if (!keys.has(id)) take(undefined, id)
      for (const s of there) if (known.get(key(s))?.version !== s.version) take(s, key(s))
      const stop = registry.watch(
        table,
        { after: registry.version },
        {
          events(events) {
            for (const { type, stored } of events) take(type === 'DELETED' ? undefined : stored, key(stored))
          },
          progress: () => {},
          expired: begin,
        },
      )
      stops.set(table, stop)
    }
    begin()
  }
  const dropRole = ({ namespace, name }: Stored): void => void roles.delete(`${namespace}/${name}`)
  follow(tables.roles, setRole, dropRole)
  follow(tables.clusterRoles, setRole, dropRole)
  follow(tables.roleBindings, bind, unbind)
  follow(tables.clusterRoleBindings, bind, unbind)

  return {
    role: key => roles.get(key),
    grants: (subject, namespace) => bySubject.get(subject)?.get(namespace),
    stop() {
      for (const stop of stops.values()) stop()
    },
  }
}

/** The rules of a role, compiled. */
export const compiledOf = (role: Role): CompiledRules => (role.compiled ??= compile(role.rules))
