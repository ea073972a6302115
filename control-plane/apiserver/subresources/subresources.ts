/** Subresources by kind, as `group/plural`: what they do for each verb of the method. `status` and `scale` are the same for all kinds. */
import type { BusConnection } from '#shared/bus/connection.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import type { Served } from '../surface.ts'
import type { Verb } from '../verbs/context.ts'
import { nodeProxy, podProxy, serviceProxy } from '../proxy/proxy.ts'
import { getObject } from '../verbs/get.ts'
import { patch } from '../verbs/patch.ts'
import { update } from '../verbs/update.ts'
import { bind } from './binding.ts'
import { evict } from './eviction.ts'
import { podExec } from './exec.ts'
import { podLog } from './log.ts'
import { podPortForward } from './portforward.ts'
import { createToken, type TokenRules } from './token.ts'

/** Writes to a part of the object, kept apart by the kind's own rules. */
const part: Readonly<Record<string, Verb>> = { get: getObject, update, patch }

/** `budgets` gives the endpoint of PodDisruptionBudgets. */
export function subresources(bus: BusConnection, tokens: TokenRules, budgets: () => Endpoint): ReadonlyMap<string, Served['subresources']> {
  const exec: Verb = call => podExec(call, bus, 'exec')
  const attach: Verb = call => podExec(call, bus, 'attach')
  const portForward: Verb = call => podPortForward(call, bus)
  return new Map<string, Served['subresources']>([
    ['/namespaces', { finalize: { update } }],
    [
      '/pods',
      {
        binding: { create: bind },
        eviction: { create: call => evict(call, budgets()) },
        ephemeralcontainers: part,
        resize: part,
        log: { get: call => podLog(call, bus) },
        exec: { get: exec, create: exec },
        attach: { get: attach, create: attach },
        portforward: { get: portForward, create: portForward },
        proxy: podProxy(bus),
      },
    ],
    ['certificates.k8s.io/certificatesigningrequests', { approval: part }],
    ['/services', { proxy: serviceProxy(bus) }],
    ['/nodes', { proxy: nodeProxy(bus) }],
    ['/serviceaccounts', { token: { create: call => createToken(call, tokens) } }],
  ])
}
