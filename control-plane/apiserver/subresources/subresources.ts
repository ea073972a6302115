/**
 * Subresources by `group/plural/subresource`: what they do for each verb of the method. `status` and `scale` work for all kinds that have
 * them.
 */
import type { BusConnection } from '#shared/bus/connection.ts'
import type { ServiceAccountTokens } from '../authn/serviceaccount.ts'
import type { Subresources, Verb } from '../verbs/dispatch.ts'
import { getObject } from '../verbs/get.ts'
import { patch } from '../verbs/patch.ts'
import { update } from '../verbs/update.ts'
import { bind } from './binding.ts'
import { evict } from './eviction.ts'
import { podExec } from './exec.ts'
import { podLog } from './log.ts'
import { podPortForward } from './portforward.ts'
import { createToken } from './token.ts'

/** Writes to a part of the object, kept apart by the kind's own rules. */
const part: Readonly<Record<string, Verb>> = { get: getObject, update, patch }

export function subresources(bus: BusConnection, tokens: ServiceAccountTokens): Subresources {
  const exec: Verb = call => podExec(call, bus, 'exec')
  const attach: Verb = call => podExec(call, bus, 'attach')
  const portForward: Verb = call => podPortForward(call, bus)
  return new Map<string, Readonly<Record<string, Verb>>>([
    ['/namespaces/finalize', { update }],
    ['/pods/binding', { create: bind }],
    ['/pods/eviction', { create: evict }],
    ['/pods/ephemeralcontainers', part],
    ['/pods/resize', part],
    ['/pods/log', { get: call => podLog(call, bus) }],
    ['/pods/exec', { get: exec, create: exec }],
    ['/pods/attach', { get: attach, create: attach }],
    ['/pods/portforward', { get: portForward, create: portForward }],
    ['/serviceaccounts/token', { create: call => createToken(call, tokens) }],
  ])
}
