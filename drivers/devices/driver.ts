/**
 * A driver of dynamic resources: it tells of its node's device nodes in a ResourceSlice, and gives each to the pod whose claim has it,
 * which then needs no privileges for it. Nothing is kept: what is prepared is in the CDI files.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nodes, resourceClaims, resourceSlices } from '#shared/api/kinds.ts'
import type { ResourceSlice } from '#shared/api/resource/resourceslice.ts'
import { backoff, sleep } from '#shared/client/backoff.ts'
import type { Client } from '#shared/client/client.ts'
import type { Logger } from '#shared/component/log.ts'
import { services, type Claim, type PreparedDevice } from '#shared/dra/services.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { method, type Method } from '#shared/grpc/server.ts'
import { cdiName, cdiSpec, driverName, slicesDevices } from './devices.ts'

export interface DevicesDriver {
  /** By the gRPC service's name. */
  readonly services: { readonly [service: string]: { readonly [name: string]: Method } }
  /** Keeps the node's slice as it should be until `signal` aborts: a kubelet deletes those of drivers that were away. */
  publish(signal: AbortSignal): Promise<void>
}

const lookAgainMs = 30_000

/** `devices`: paths by name. */
export function devicesDriver(
  client: Client,
  node: string,
  devices: ReadonlyMap<string, string>,
  cdiDir: string,
  log: Logger,
): DevicesDriver {
  const fileOf = ({ uid = '' }: Claim): string => {
    if (!/^[\w-]+$/.test(uid)) throw new Error(`${JSON.stringify(uid)} is no UID`)
    return join(cdiDir, `${driverName}-${uid}.json`)
  }

  async function prepare(claim: Claim): Promise<PreparedDevice[]> {
    const { namespace = '', name = '', uid = '' } = claim
    const { metadata, status } = await client.get(resourceClaims, namespace, name)
    if (metadata.uid !== uid) throw new Error(`the claim ${namespace}/${name} is another one by now`)
    const own = (status?.allocation?.devices?.results ?? []).filter(r => r.driver === driverName && r.pool === node)
    const given = own.map(({ device }) => {
      const path = devices.get(device)
      if (path === undefined) throw new Error(`the node has no device ${device}`)
      return { name: device, path }
    })
    mkdirSync(cdiDir, { recursive: true })
    writeFileSync(fileOf(claim), JSON.stringify(cdiSpec(uid, given)))
    return own.map(({ request, device, pool }) => ({
      requestNames: [request.split('/')[0]!],
      poolName: pool,
      deviceName: device,
      cdiDeviceIds: [cdiName(uid, device)],
    }))
  }

  /** An answer for each claim: what `work` says, or why it failed. */
  async function each<T extends object>(claims: readonly Claim[], what: string, work: (claim: Claim) => T | Promise<T>) {
    const answers: { [uid: string]: T | { error: string } } = {}
    for (const claim of claims) {
      const about = { claim: `${claim.namespace}/${claim.name}`, uid: claim.uid }
      try {
        answers[claim.uid ?? ''] = await work(claim)
        log.info(about, what)
      } catch (e) {
        answers[claim.uid ?? ''] = { error: (e as Error).message }
        log.warn({ ...about, err: (e as Error).message }, `not ${what}`)
      }
    }
    return { claims: answers }
  }
  const served = Object.entries(services).map(([name, { prepare: preparing, unprepare }]) => [
    `k8s.io.kubelet.pkg.apis.dra.${name}`,
    {
      NodePrepareResources: method(preparing.question, preparing.answer, ({ claims = [] }) =>
        each(claims, 'prepared', async claim => ({ devices: await prepare(claim) })),
      ),
      NodeUnprepareResources: method(unprepare.question, unprepare.answer, ({ claims = [] }) =>
        each(claims, 'taken back', claim => {
          rmSync(fileOf(claim), { force: true })
          return {}
        }),
      ),
    },
  ])

  async function put(): Promise<void> {
    const name = `${node}-${driverName}`
    const spec = {
      driver: driverName,
      nodeName: node,
      pool: { name: node, generation: 1, resourceSliceCount: 1 },
      devices: slicesDevices(devices),
    }
    const now = await client.get(resourceSlices, '', name).catch((e: unknown) => (isNotFound(e) ? undefined : Promise.reject(e)))
    if (now && JSON.stringify(now.spec.devices) === JSON.stringify(spec.devices)) return
    // Devices that have changed are a new generation of their pool.
    if (now) {
      const pool = { ...spec.pool, generation: (now.spec.pool.generation ?? 0) + 1 }
      await client.update(resourceSlices, { ...now, spec: { ...spec, pool } } as ResourceSlice)
    } else {
      const { uid = '' } = (await client.get(nodes, '', node)).metadata
      // It goes with its node.
      const ownerReferences = [{ apiVersion: 'v1', kind: 'Node', name: node, uid, controller: true }]
      await client.create(resourceSlices, '', { metadata: { name, ownerReferences }, spec } as unknown as ResourceSlice)
    }
    log.info({ devices: devices.size }, 'published')
  }

  return {
    services: Object.fromEntries(served) as DevicesDriver['services'],
    async publish(signal) {
      for (const pause = backoff(500, lookAgainMs); !signal.aborted;) {
        try {
          await put()
          pause.reset()
          await sleep(lookAgainMs, signal)
        } catch (err) {
          log.warn({ err: (err as Error).message }, 'the devices could not be published')
          await sleep(pause.next(), signal)
        }
      }
    },
  }
}
