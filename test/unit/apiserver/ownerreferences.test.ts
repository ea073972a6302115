import { expect, it } from 'vitest'
import { admit, newAdmission } from '#control-plane/apiserver/admission/admission.ts'
import { ownerReferencesPermissionEnforcement } from '#control-plane/apiserver/admission/ownerreferencespermissionenforcement.ts'
import { targetOfKind } from '#control-plane/apiserver/admission/target.ts'
import type { Authorizer } from '#control-plane/apiserver/authz/authorizer.ts'
import { Surface } from '#control-plane/apiserver/surface.ts'
import type { OwnerReference } from '#shared/api/meta/objectmeta.ts'
import { resources } from '#shared/api/resources.ts'

const surface = new Surface()
surface.install(...resources.map(resource => ({ resource })))

/** What is asked of the authorizer, which allows what is named. */
async function change(now: Partial<OwnerReference>[], before: Partial<OwnerReference>[] | undefined, ...allowed: string[]) {
  const asked: string[] = []
  const authorizer: Authorizer = {
    authorize(q) {
      const text = `${q.verb} ${q.group}/${q.resource}${q.subresource && `/${q.subresource}`} ${q.namespace}/${q.name}`
      asked.push(text)
      return { decision: allowed.includes(text) ? 'allow' : 'no opinion', reason: '' }
    },
    rulesFor: () => ({ resourceRules: [], nonResourceRules: [], incomplete: false }),
  }
  const object = (refs: Partial<OwnerReference>[]) => ({
    kind: 'ConfigMap',
    apiVersion: 'v1',
    metadata: {
      name: 'm',
      namespace: 'n',
      ownerReferences: refs.map(r => ({ apiVersion: 'apps/v1', kind: 'Deployment', name: 'd', uid: 'u', ...r })),
    },
  })
  const answer = admit(newAdmission([ownerReferencesPermissionEnforcement(authorizer, () => surface.current)]), {
    operation: before ? 'UPDATE' : 'CREATE',
    target: targetOfKind({ group: '', version: 'v1', kind: 'ConfigMap', plural: 'configmaps' }),
    subresource: '',
    namespace: 'n',
    name: 'm',
    object: object(now),
    old: before && object(before),
    by: { user: { name: 'u', groups: [] }, dryRun: false },
  })
  const refusal = await answer.then(
    () => undefined,
    (e: Error) => e.message,
  )
  return { asked, refusal }
}
const finalizers = 'update apps/deployments/finalizers n/d'
const deletion = 'delete /configmaps n/m'

it('whoever creates something may give it owners that do not wait for it', async () => {
  expect(await change([{}], undefined)).toEqual({ asked: [], refusal: undefined })
  expect(await change([{}], [{}])).toEqual({ asked: [], refusal: undefined })
})
it('owners that wait need the permission to set their finalizers', async () => {
  expect(await change([{ blockOwnerDeletion: true }], undefined, finalizers)).toEqual({ asked: [finalizers], refusal: undefined })
  expect((await change([{ blockOwnerDeletion: true }], undefined)).refusal).toBe(
    `configmaps "m" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>`,
  )
  expect((await change([{ blockOwnerDeletion: true, kind: 'Node', apiVersion: 'v1', name: 'x' }], undefined)).asked).toEqual([
    'update /nodes/finalizers /x',
  ])
  expect((await change([{ blockOwnerDeletion: true, kind: 'Nobody' }], undefined)).refusal).toContain(
    'cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion apps/v1 Kind Nobody: no matches for kind "Nobody" in version "apps/v1"',
  )
})
it('owners of what is there are changed by those who may delete it', async () => {
  expect((await change([{}], [])).refusal).toContain("cannot set an ownerRef on a resource you can't delete")
  expect(await change([], [{}], deletion)).toEqual({ asked: [deletion], refusal: undefined })
  const wait = { blockOwnerDeletion: true }
  expect(await change([wait, { uid: 'v' }], [wait], deletion)).toEqual({ asked: [deletion], refusal: undefined })
  expect((await change([wait], [{}], deletion)).asked).toEqual([deletion, finalizers])
})
