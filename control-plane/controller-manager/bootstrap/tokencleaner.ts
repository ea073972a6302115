/** Deletes bootstrap tokens that have expired: pkg/controller/bootstrap/tokencleaner.go */
import { secrets } from '#shared/api/kinds.ts'
import { source, splitKey } from '#shared/client/controller.ts'
import { bootstrapTokenType, expiryOf } from '#shared/machinery/bootstraptoken.ts'
import { isConflict, isNotFound } from '#shared/machinery/status.ts'
import type { NewController } from '../context.ts'

/** setTimeout's longest wait. */
const maxWaitMs = 2 ** 31 - 1

export const tokenCleaner: NewController = ctx => {
  const tokens = ctx.informer(secrets, { fieldSelector: `type=${bootstrapTokenType}` })
  return {
    name: 'token-cleaner-controller',
    client: ctx.as('token-cleaner'),
    workers: 1,
    sources: [
      source(tokens, ({ type, object: { metadata } }) =>
        type === 'DELETED' || metadata.namespace !== 'kube-system' ? [] : [`kube-system/${metadata.name}`],
      ),
    ],
    async reconcile(key, client) {
      const [namespace, name] = splitKey(key)
      const secret = tokens.get(namespace, name)
      const end = secret && expiryOf(secret)
      // One whose time cannot be read does not work, but somebody may want to look at it.
      if (!secret || end === undefined || end === Infinity || end === 0) return
      const left = end - Date.now()
      if (left > 0) return { requeueAfterMs: Math.min(left, maxWaitMs) }
      const { uid, resourceVersion = '' } = secret.metadata
      try {
        await client.delete(secrets, namespace, name, { preconditions: { ...(uid ? { uid } : {}), resourceVersion } })
        ctx.log.info({ secret: name }, 'deleted an expired bootstrap token')
      } catch (e) {
        if (!isNotFound(e) && !isConflict(e)) throw e
      }
    },
    log: ctx.log,
  }
}
