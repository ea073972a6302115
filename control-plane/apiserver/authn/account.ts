/** Service accounts as users, and what keeps their tokens good. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { UserInfo } from '#shared/bus/transport.ts'
import { subjectOf } from '#shared/machinery/serviceaccounttoken.ts'

export const accountUser = ({ namespace, name, uid }: { namespace: string; name: string; uid: string }): UserInfo => ({
  name: subjectOf(namespace, name),
  uid,
  groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
})

const deletedGraceMs = 60_000

/** Whether an object was deleted so long ago that what is bound to it ends: upstream gives it a minute. */
export const isDeleted = ({ metadata: { deletionTimestamp } }: KubeObject): boolean =>
  deletionTimestamp !== undefined && Date.parse(deletionTimestamp) + deletedGraceMs < Date.now()
