/** The authorizers that `--authorization-mode` names, in its order; members of system:masters may do everything before any is asked. */
import type { Registry } from '../registry/registry.ts'
import { allow, noOpinion, privilegedGroup, union, type Authorizer, type Rules } from './authorizer.ts'
import { consistent } from './consistent.ts'
import { nodeAuthorizer } from './node/node.ts'
import { rbacAuthorizer } from './rbac/rbac.ts'
import type { Policy } from './rbac/policy.ts'

export const authorizationModes = ['AlwaysAllow', 'AlwaysDeny', 'Node', 'RBAC'] as const
export type AuthorizationMode = (typeof authorizationModes)[number]

const all: Rules = {
  resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
  nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
  incomplete: false,
}
const none: Rules = { resourceRules: [], nonResourceRules: [], incomplete: false }
const alwaysAllow: Authorizer = { authorize: () => allow, rulesFor: () => all }
const alwaysDeny: Authorizer = { authorize: () => ({ ...noOpinion, reason: 'Everything is forbidden.' }), rulesFor: () => none }

export function newAuthorizer(registry: Registry, policy: Policy, modes: readonly AuthorizationMode[]): Authorizer {
  const byMode: Record<AuthorizationMode, () => Authorizer> = {
    AlwaysAllow: () => alwaysAllow,
    AlwaysDeny: () => alwaysDeny,
    Node: () => nodeAuthorizer(registry),
    RBAC: () => rbacAuthorizer(policy),
  }
  const asked = modes.map(mode => byMode[mode]())
  return union([privilegedGroup('system:masters'), consistent(registry, union(asked))])
}
