/**
 * Three nats-servers on three machines. The first machine begins with all of them; of those that join the control plane, the first two each
 * take one over: they claim it in a ConfigMap, the first machine ends its own and leaves the configuration in a Secret, and the new one,
 * which has the former one's name and nothing stored, is caught up by the others. That loses nothing, as it begins only when both others
 * have all that was ever acknowledged: see `untilCurrent`.
 */
import { rmSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import * as z from 'zod'
import { configMaps, secrets } from '#shared/api/kinds.ts'
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import type { Secret } from '#shared/api/core/secret.ts'
import { connectBus } from '#shared/bus/connection.ts'
import type { Client } from '#shared/client/client.ts'
import { logger } from '#shared/component/log.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { jetStreamApi, streamName } from '../apiserver/registry/stream.ts'
import { adminClient } from './api.ts'
import { natsAuthority, natsUrl } from './components.ts'
import { ensure } from './ensure.ts'
import { movedNatsConfig, serverNameOf, storeOf } from './files.ts'
import { editCluster } from './local-cluster.ts'
import { addressesOf, requireCluster, type Cluster, type StateDir } from './state.ts'

const namespace = 'kube-system'
const placesName = 'coxswain-nats-servers'
const configName = (n: number): string => `coxswain-nats-server-${n}`
const configKey = 'server.conf'
/** Whose it is. */
const forKey = 'address'
const forget = (client: Client, n: number): Promise<void> =>
  client.delete(secrets, namespace, configName(n)).catch((e: unknown) => {
    if (!isNotFound(e)) throw e
  })
const textOf = ({ data }: Secret, key: string): string => Buffer.from(data?.[key] ?? '', 'base64').toString()

export type Moved = 2 | 3
const moved: readonly Moved[] = [2, 3]
const placeSchema = z.object({ address: z.ipv4(), token: z.string(), state: z.enum(['claimed', 'running', 'leaving']) })
type Place = z.infer<typeof placeSchema>
type Places = Map<Moved, Place>

/** What the ConfigMap says; what is damaged counts as vacant. */
function placesOf(map: ConfigMap | undefined): Places {
  const places: Places = new Map()
  for (const n of moved) {
    try {
      places.set(n, placeSchema.parse(JSON.parse(map?.data?.[n] ?? '')))
    } catch {
      continue
    }
  }
  return places
}

const [firstWaitMs, maxWaitMs] = [200, 5_000]
/** Does it again, later each time, until it succeeds or `signal`. */
export async function insist(work: () => Promise<void>, signal: AbortSignal, failed: (reason: string) => void): Promise<void> {
  for (let wait = firstWaitMs; !signal.aborted; wait = Math.min(wait * 2, maxWaitMs)) {
    try {
      return await work()
    } catch (e) {
      if (!signal.aborted) failed((e as Error).message)
      await delay(wait, undefined, { signal }).catch(() => {})
    }
  }
}

/** Calls `seen` with who has which nats-server, now and whenever that changes, until `signal`. */
export async function followPlaces(
  dir: StateDir,
  signal: AbortSignal,
  seen: (places: Places, client: Client) => Promise<void>,
  failed: (reason: string) => void,
): Promise<void> {
  const { client, close } = adminClient(dir)
  const watch = async (): Promise<void> => {
    const events = client.watch(configMaps, namespace, { fieldSelector: `metadata.name=${placesName}` }, signal)
    for await (const { type, object } of events)
      if (type === 'ADDED' || type === 'MODIFIED')
        await seen(placesOf(object as ConfigMap), client).catch((e: unknown) => {
          if (!signal.aborted) failed((e as Error).message)
          throw e
        })
  }
  while (!signal.aborted) {
    // API servers come and go.
    await insist(watch, signal, () => {})
    // Servers end watches after some minutes.
    await delay(firstWaitMs, undefined, { signal }).catch(() => {})
  }
  close()
}

/** Notes where nats-servers are, for the next start of whatever connects to them. */
export async function notePlaces(dir: StateDir, places: Places): Promise<void> {
  const found = Object.fromEntries([...places].flatMap(([n, { address, state }]) => (state === 'leaving' ? [] : [[n, address]])))
  const { natsAt } = requireCluster(dir)
  if (Object.entries(found).every(([n, address]) => natsAt?.[n as '2' | '3'] === address)) return
  await editCluster(dir, c => void (c.natsAt = { ...c.natsAt, ...found }))
}

interface StreamInfo {
  state?: { last_seq: number }
  cluster?: { leader?: string; replicas?: { name: string; current?: boolean; offline?: boolean; lag?: number }[] }
}
const servers = 3
const [connectMs, currentMs] = [10_000, 120_000]
const lookMs = 200

/** Looks at the store until `done`. Rejects when that takes `limitMs`, or at `signal`. */
async function watchStore(
  dir: StateDir,
  signal: AbortSignal,
  limitMs: number,
  done: (info: StreamInfo) => boolean,
  late: string,
): Promise<void> {
  const at = addressesOf(requireCluster(dir))
  const log = logger('cox')
  log.level = 'error'
  const credsFile = path.join(dir.creds, 'registry.creds')
  const bus = await connectBus({ url: natsUrl(at), caFile: natsAuthority(dir, at), credsFile, timeoutMs: connectMs, log })
  const end = performance.now() + limitMs
  try {
    // No event tells.
    for (; !signal.aborted; await delay(lookMs, undefined, { signal }).catch(() => {})) {
      if (done(await jetStreamApi<StreamInfo>(bus.nats, `STREAM.INFO.${streamName}`).catch((): StreamInfo => ({})))) return
      if (performance.now() > end) throw new Error(`${late} within ${limitMs / 1000} s`)
    }
    throw new Error('stopped')
  } finally {
    await bus.close()
  }
}

/**
 * Resolves when all three nats-servers have the store, or, when `without` does not run, the two others: what is acknowledged from then on
 * both of them have, and what was acknowledged before the leader has, and the other one when it lags no more. Rejects when that takes
 * `limitMs`, or at `signal`.
 */
export function untilCurrent(dir: StateDir, signal: AbortSignal, without?: number, limitMs = currentMs): Promise<void> {
  const away = without === undefined ? undefined : serverNameOf(without)
  /** What a server had when it was last here is taken for what it has until something is written. */
  let before: number | undefined
  const isCurrent = ({ state, cluster }: StreamInfo): boolean => {
    const { leader, replicas = [] } = cluster ?? {}
    before ??= state?.last_seq
    const written = before !== undefined && state !== undefined && state.last_seq > before
    const whole = [leader, ...replicas.filter(r => r.current && !r.offline && !r.lag).map(r => r.name)]
    return written && whole.filter(name => name && name !== away).length === servers - (away === undefined ? 0 : 1)
  }
  return watchStore(dir, signal, limitMs, isCurrent, 'the nats-servers have not come together')
}

/** Resolves when nobody is heard of who has this server's name: two that have it would be taken for one by the others. As above. */
function untilAway(dir: StateDir, signal: AbortSignal, n: number, limitMs: number): Promise<void> {
  const name = serverNameOf(n)
  const isAway = ({ cluster }: StreamInfo): boolean =>
    cluster?.leader !== undefined && cluster.leader !== name && !cluster.replicas?.some(r => r.name === name && !r.offline)
  return watchStore(dir, signal, limitMs, isAway, `nats-server-${n} has not ended`)
}

export interface Giving {
  /** Ends a nats-server of the first machine; resolves with how it is started again. */
  withdraw(n: number): Promise<() => void>
  /** Others have to know where it is from now on. */
  given(): Promise<void>
  tell(line: string): void
}

/** On the first machine: gives nats-servers to those who claim them, one after the other, until `signal`. */
export const giveNatsServers = (dir: StateDir, signal: AbortSignal, { withdraw, given, tell }: Giving): Promise<void> =>
  followPlaces(
    dir,
    signal,
    async (places, client) => {
      for (const [n, { address, state }] of places) {
        const at = requireCluster(dir).natsAt?.[n]
        if (state !== 'claimed') {
          if (at === address && state === 'running') rmSync(storeOf(path.join(dir.nats, 'store'), n), { recursive: true, force: true })
          continue
        }
        if (at !== address) {
          tell(`nats-server-${n} moves to ${address}`)
          await untilCurrent(dir, signal, n)
          const back = await withdraw(n)
          // Another machine may have it still.
          const gone = untilAway(dir, signal, n, currentMs).then(() => untilCurrent(dir, signal, n))
          await gone.catch((e: unknown) => {
            back()
            throw e
          })
          await editCluster(dir, c => void (c.natsAt = { ...c.natsAt, [n]: address }))
          await given()
        } else await untilCurrent(dir, signal, n)
        const config = await movedNatsConfig(dir, addressesOf(requireCluster(dir)), n, address)
        const data = { [configKey]: Buffer.from(config).toString('base64'), [forKey]: Buffer.from(address).toString('base64') }
        await forget(client, n)
        await ensure(client, secrets, namespace, { metadata: { name: configName(n) }, type: 'Opaque', data })
      }
    },
    reason => tell(`a nats-server could not be given to another machine: ${reason}`),
  )

/**
 * On a machine that joined: claims a nats-server, and resolves with its number and configuration when the first machine has left it.
 * Resolves with nothing when others have all of them.
 */
export async function claimNatsServer(
  dir: StateDir,
  { joined }: Pick<Cluster, 'joined'>,
  signal: AbortSignal,
): Promise<{ n: Moved; config: string } | undefined> {
  const { client, close } = adminClient(dir)
  try {
    const map = await client.get(configMaps, namespace, placesName).catch((e: unknown) => {
      if (isNotFound(e)) return undefined
      throw e
    })
    const places = placesOf(map as ConfigMap | undefined)
    const { address, token = '' } = joined!
    const n = [...places].find(([, place]) => place.address === address)?.[0] ?? moved.find(m => !places.has(m))
    if (n === undefined) return undefined
    const data = { [n]: JSON.stringify({ address, token, state: 'claimed' } satisfies Place) }
    if (map) await client.update(configMaps, { ...map, data: { ...map.data, ...data } })
    else await client.create(configMaps, namespace, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: placesName }, data })
    await notePlaces(dir, new Map([...places].filter(([other]) => other !== n)))
    for await (const { type, object } of client.watch(secrets, namespace, { fieldSelector: `metadata.name=${configName(n)}` }, signal)) {
      if (type !== 'ADDED' && type !== 'MODIFIED') continue
      const secret = object as Secret
      if (textOf(secret, forKey) === address) return { n, config: textOf(secret, configKey) }
    }
    throw new Error('the first machine has not left it yet')
  } finally {
    close()
  }
}

/** Says that the nats-server that was claimed runs here and has caught up. */
export async function settleNatsServer(dir: StateDir, { joined }: Pick<Cluster, 'joined'>, n: Moved): Promise<void> {
  const { client, close } = adminClient(dir)
  try {
    const { address, token = '' } = joined!
    const data = { [n]: JSON.stringify({ address, token, state: 'running' } satisfies Place) }
    await client.patch(configMaps, namespace, placesName, 'merge', { data })
    await forget(client, n)
  } finally {
    close()
  }
}

/** Calls `leave` when this machine, which has the nats-server `n`, shall have it no more; as `followPlaces` calls its `seen`. */
export const onLeaving =
  (token: string | undefined, own: () => Moved | undefined, leave: (n: Moved) => Promise<void>) =>
  async (places: Places): Promise<void> => {
    const n = own()
    const place = n === undefined ? undefined : places.get(n)
    if (place?.state === 'leaving' && place.token === token) await leave(n!)
  }

/** How long others may take to show that they can do without it, and a machine that lives to end its nats-server, ms. */
const [withoutMs, leavingMs] = [15_000, 15_000]
/** A machine's nats-server, and whether it still runs. */
export interface Left {
  n: Moved
  runs: boolean
}
/**
 * Has the machine that came by a token end its nats-server, if it has one. Rejects when the others could not store anything without it.
 * `vacatePlace` is to follow.
 */
export async function leavePlace(dir: StateDir, client: Client, token: string): Promise<Left | undefined> {
  const map = (await client.get(configMaps, namespace, placesName).catch(() => undefined)) as ConfigMap | undefined
  const [n, place] = [...placesOf(map)].find(([, p]) => p.token === token) ?? []
  if (n === undefined || !place) return undefined
  const signal = new AbortController().signal
  await untilCurrent(dir, signal, n, withoutMs).catch((e: Error) => {
    throw new Error(
      `that machine has a nats-server, without which nothing could be written now (${e.message}); bring the others back first`,
    )
  })
  const data = { [n]: JSON.stringify({ ...place, state: 'leaving' } satisfies Place) }
  await client.patch(configMaps, namespace, placesName, 'merge', { data })
  const runs = await untilAway(dir, signal, n, leavingMs).then(
    () => false,
    () => true,
  )
  return { n, runs }
}

/** Vacates the place of the machine that came by a token: the next one that joins takes it. */
export async function vacatePlace(client: Client, token: string): Promise<void> {
  const map = (await client.get(configMaps, namespace, placesName).catch(() => undefined)) as ConfigMap | undefined
  for (const [n, place] of placesOf(map))
    if (place.token === token) await client.patch(configMaps, namespace, placesName, 'merge', { data: { [n]: null } })
}
