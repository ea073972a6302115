/**
 * Streams into pods over WebSockets are GETs, which policies for POST (SPDY) say nothing of: the verb create has to be allowed as well
 * (AuthorizePodWebsocketUpgradeCreatePermission; pkg/registry/core/pod/rest).
 */
import { after } from '#shared/machinery/maybe.ts'
import { forbidden } from '#shared/machinery/status.ts'
import type { Attributes, Authorizer } from './authorizer.ts'

const streams = new Set(['exec', 'attach', 'portforward'])

export const isPodStream = (a: Attributes): boolean =>
  a.isResource && a.group === '' && a.resource === 'pods' && streams.has(a.subresource) && a.verb !== 'create'

/** Throws 403 when the stream may not be made. */
export const authorizePodStream = (authorizer: Authorizer, a: Attributes): void | Promise<void> =>
  after(authorizer.authorize({ ...a, verb: 'create' }), ({ decision, reason }) => {
    if (decision !== 'allow') throw forbidden({ group: a.group, resource: a.resource }, a.name, reason)
  })
