/**
 * The Node authorizer: a node may do what nodes do, but reads only what the pods that are bound to it need, and touches only what is its
 * own (plugin/pkg/auth/authorizer/node). What it writes, the admission plugin NodeRestriction looks at.
 * https://kubernetes.io/docs/reference/access-authn-authz/node/
 */
import { nodeRules } from '../../bootstrap/policy/noderules.ts'
import type { Registry } from '../../registry/registry.ts'
import { allow, noOpinion, type Attributes, type Authorizer, type Decision } from '../authorizer.ts'
import { allows, compile } from '../rbac/matching.ts'
import { nodeOf } from './identity.ts'
import type { Referred } from './references.ts'
import { hasAttachment, hasPod, hasResourceClaim, hasSlice, hasVolume, hasVolumeSecret, isReferred } from './relations.ts'

const because = (reason: string): Decision => ({ decision: 'no opinion', reason })

export function nodeAuthorizer(registry: Registry): Authorizer {
  const rules = compile(nodeRules)
  type Rule = (node: string, a: Attributes) => Decision

  const related = (node: string, a: Attributes, is: boolean): Decision => {
    if (a.name === '') return because('No Object name found')
    return is ? allow : because(`no relationship found between node '${node}' and this object`)
  }
  const get =
    (has: (node: string, a: Attributes) => boolean): Rule =>
    (node, a) => {
      if (a.verb !== 'get') return because('can only get individual resources of this type')
      return a.subresource === '' ? related(node, a, has(node, a)) : because('cannot get subresource')
    }
  const readReferred =
    (what: Referred, otherwise?: (node: string, a: Attributes) => boolean): Rule =>
    (node, a) => {
      if (!['get', 'list', 'watch'].includes(a.verb)) return because('can only read resources of this type')
      if (a.subresource !== '') return because('cannot read subresource')
      if (a.namespace === '') return because('can only read namespaced object of this type')
      if (a.name === '') return related(node, a, false)
      return related(node, a, isReferred(registry, node, what, a.namespace, a.name) || otherwise?.(node, a) === true)
    }
  const own =
    (verbs: readonly string[], what: string, wrong: string, namespace = ''): Rule =>
    (node, a) => {
      if (!verbs.includes(a.verb)) return because(`can only get, create, update, patch, or delete a ${what}`)
      if (a.namespace !== namespace) return because(`can only access leases in the ${JSON.stringify(namespace)} system namespace`)
      if (a.subresource !== '') return because(`cannot authorize ${what} subresources`)
      // The name of what is made is for admission to see.
      return a.verb === 'create' || a.name === node ? allow : because(wrong)
    }
  const limitedTo = (a: Attributes, field: string, node: string): boolean =>
    (a.fieldSelector ?? '').split(',').some(term => term === `${field}=${node}` || term === `${field}==${node}`)

  const claim: Rule = get((node, a) => isReferred(registry, node, 'persistentvolumeclaims', a.namespace, a.name))
  const ownVerbs = ['get', 'create', 'update', 'patch', 'delete']
  const wrongName = (what: string): string => `can only access ${what} with the same name as the requesting node`

  const special: Readonly<Record<string, Rule>> = {
    '/secrets': readReferred('secrets', (node, a) => hasVolumeSecret(registry, node, a.namespace, a.name)),
    '/configmaps': readReferred('configmaps'),
    '/persistentvolumeclaims': (node, a) => {
      if (a.subresource !== 'status') return claim(node, a)
      if (a.verb !== 'update' && a.verb !== 'patch') return because('can only get/update/patch this type')
      return related(node, a, isReferred(registry, node, 'persistentvolumeclaims', a.namespace, a.name))
    },
    '/persistentvolumes': get((node, a) => hasVolume(registry, node, a.name)),
    'resource.k8s.io/resourceclaims': get((node, a) => hasResourceClaim(registry, node, a.namespace, a.name)),
    'storage.k8s.io/volumeattachments': get((node, a) => hasAttachment(registry, node, a.name)),
    '/serviceaccounts': (node, a) => {
      const is = (): boolean => isReferred(registry, node, 'serviceaccounts', a.namespace, a.name)
      if (a.verb === 'get' && a.subresource === '') return related(node, a, is())
      if (a.verb !== 'create' || a.name === '') return because('can only create tokens for individual service accounts')
      if (a.subresource !== 'token') return because('can only create token subresource of serviceaccount')
      return related(node, a, is())
    },
    'coordination.k8s.io/leases': own(ownVerbs, 'node lease', wrongName('node lease'), 'kube-node-lease'),
    'storage.k8s.io/csinodes': own(ownVerbs, 'CSINode', wrongName('CSINode')),
    'resource.k8s.io/resourceslices': (node, a) => {
      if (a.subresource !== '') return because('cannot authorize ResourceSlice subresources')
      if (a.verb === 'create') return allow
      if (['get', 'update', 'patch', 'delete'].includes(a.verb)) return related(node, a, hasSlice(registry, node, a.name))
      if (limitedTo(a, 'spec.nodeName', node)) return allow
      return because('can only list/watch/deletecollection resourceslices with nodeName field selector')
    },
    '/nodes': (node, a) => {
      const writes = a.verb === 'update' || a.verb === 'patch'
      if (a.subresource === 'status') return writes ? allow : noOpinion
      if (a.subresource !== '') return noOpinion
      if (writes || a.verb === 'create') return allow
      if (!['get', 'list', 'watch'].includes(a.verb)) return noOpinion
      if (a.name === node) return allow
      return because(`node '${node}' cannot read ${a.name === '' ? 'all nodes' : `'${a.name}'`}, only its own Node object`)
    },
    '/pods': (node, a) => {
      switch (`${a.verb} ${a.subresource}`) {
        case 'get ':
          return related(node, a, hasPod(registry, node, a.namespace, a.name))
        case 'list ':
        case 'watch ':
          if (limitedTo(a, 'spec.nodeName', node)) return allow
          if (a.name !== '') return related(node, a, hasPod(registry, node, a.namespace, a.name))
          return because('can only list/watch pods with spec.nodeName field selector')
        case 'create ':
        case 'delete ':
        case 'update status':
        case 'patch status':
        case 'create eviction':
          return allow
        default:
          return noOpinion
      }
    },
  }

  return {
    authorize(a) {
      const node = nodeOf(a.user)
      if (node === undefined) return noOpinion
      const rule = a.isResource ? special[`${a.group}/${a.resource}`] : undefined
      if (rule) return rule(node, a)
      return allows(rules, a, a.subresource === '' ? a.resource : `${a.resource}/${a.subresource}`) ? allow : noOpinion
    },
    rulesFor(user) {
      const none = { resourceRules: [], nonResourceRules: [], incomplete: false }
      if (nodeOf(user) === undefined) return none
      return { ...none, incomplete: true, evaluationError: 'node authorizer does not support user rule resolution' }
    },
  }
}
