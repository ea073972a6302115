/**
 * OwnerReferencesPermissionEnforcement: who changes the owners of an object must be allowed to delete it, and who makes an owner's deletion
 * wait for an object must be allowed to set the owner's finalizers (plugin/pkg/admission/gc).
 */
import type { OwnerReference } from '#shared/api/meta/objectmeta.ts'
import type { Attributes as Question, Authorizer } from '../authz/authorizer.ts'
import type { Serving } from '../surface.ts'
import { equal } from '../objects/equal.ts'
import { refused, type AdmissionPlugin, type Attributes } from './admission.ts'

/** `serving` says what is served now: references name kinds, permissions resources. */
export function ownerReferencesPermissionEnforcement(authorizer: Authorizer, serving: () => Serving): AdmissionPlugin {
  /** What is asked about each resource that a reference may mean. */
  function finalizersOf(a: Attributes, { apiVersion, kind, name }: OwnerReference): Question[] {
    const [version = '', group = ''] = apiVersion.split('/').reverse()
    const found = [...serving().kinds].filter(([key, { resource }]) => resource.kind === kind && key.startsWith(`${group}/${version}/`))
    return found.map(([, { resource }]) => ({
      ...question(a, 'update'),
      group,
      version,
      resource: resource.plural,
      subresource: 'finalizers',
      namespace: resource.namespaced ? a.namespace : '',
      name,
    }))
  }

  async function check(a: Attributes, now: readonly OwnerReference[], before: readonly OwnerReference[]): Promise<void> {
    if (a.operation !== 'CREATE') {
      const { decision, reason } = await authorizer.authorize(question(a, 'delete'))
      if (decision !== 'allow') throw refused(a, `cannot set an ownerRef on a resource you can't delete: ${reason}, <nil>`)
    }
    for (const ref of now) {
      if (!ref.blockOwnerDeletion || before.some(old => old.uid === ref.uid && old.blockOwnerDeletion)) continue
      const { apiVersion, kind } = ref
      const questions = finalizersOf(a, ref)
      if (questions.length === 0) {
        const why = `no matches for kind "${kind}" in version "${apiVersion}"`
        throw refused(
          a,
          `cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion ${apiVersion} Kind ${kind}: ${why}`,
        )
      }
      for (const asked of questions) {
        const { decision, reason } = await authorizer.authorize(asked)
        if (decision !== 'allow')
          throw refused(
            a,
            `cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: ${reason}, <nil>`,
          )
      }
    }
  }

  return {
    name: 'OwnerReferencesPermissionEnforcement',
    validate(a) {
      if (!a.object || (a.operation !== 'CREATE' && a.operation !== 'UPDATE')) return undefined
      const now = a.object.metadata?.ownerReferences ?? []
      const before = a.old?.metadata?.ownerReferences ?? []
      // The status of pods cannot change their owners.
      if (a.resource.group === '' && a.resource.resource === 'pods' && a.subresource === 'status') return undefined
      return equal(now, before) ? undefined : check(a, now, before)
    },
  }
}

const question = (a: Attributes, verb: string): Question => ({
  user: a.user,
  verb,
  isResource: true,
  group: a.resource.group,
  version: a.resource.version,
  resource: a.resource.resource,
  subresource: a.subresource,
  namespace: a.namespace,
  name: a.name,
  path: '',
})
