/** Notes at a Secret with a token when that was used last, as a date (LegacyServiceAccountTokenTracking). */
import type { Secret } from '#shared/api/core/secret.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Logger } from '#shared/component/log.ts'
import { clone } from '#shared/machinery/jsonvalue.ts'
import { dateOf, lastUsedLabel } from '#shared/machinery/serviceaccounttoken.ts'
import { conflict } from '#shared/machinery/status.ts'
import { self } from '../bootstrap/ensure.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import type { Store } from '../objects/store.ts'
import { updateObject } from '../objects/update.ts'
import type { Used } from './legacytoken.ts'

const dayMs = 24 * 3600_000

/** Writes at most once a day for a Secret; uses at the same time wait for one write. `secrets` is where they are written. */
export function trackUse(store: () => Store, secrets: () => Endpoint, log: Logger): Used {
  const writing = new Map<string, Promise<void>>()
  return secret => {
    const { namespace = '', name = '', uid = '', labels } = secret.metadata
    const now = Date.now()
    const today = dateOf(now)
    const last = labels?.[lastUsedLabel]
    // Another server's clock may be ahead.
    if (last === today || last === dateOf(now + dayMs)) return Promise.resolve()
    const before = writing.get(uid)
    if (before) return before
    const change = (current: KubeObject | undefined): KubeObject => {
      if (current?.metadata.uid !== uid) throw conflict({ group: '', resource: 'secrets' }, name, 'the secret is another by now')
      const next = clone(current) as Secret & KubeObject
      next.metadata.labels = { ...next.metadata.labels, [lastUsedLabel]: today }
      return next
    }
    const write = updateObject(store(), secrets(), namespace, name, change, { ...self, direct: true })
      .then(
        () => undefined,
        (e: unknown) => log.warn({ secret: `${namespace}/${name}`, err: (e as Error).message }, 'the use of a token could not be noted'),
      )
      .finally(() => writing.delete(uid))
    writing.set(uid, write)
    return write
  }
}
