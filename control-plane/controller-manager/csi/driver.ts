/**
 * CSI drivers that have no sidecars: the controller manager does their work (provisioner, attacher, resizer, snapshotter) and speaks to the
 * controller service on the socket that the driver has registered with a kubelet, by way of the API server and that kubelet. So it needs no
 * address, no credentials and no port of its own, and what it may do is RBAC's to say (`create` on `nodes/proxy`). A driver asks for that
 * by an annotation: one whose manifests bring sidecars of its own must not have two of each.
 */
import * as z from 'zod'
import type { CSIDriver } from '#shared/api/storage/csidriver.ts'
import type { CSINode } from '#shared/api/storage/csinode.ts'
import type { Node } from '#shared/api/core/node.ts'
import { csiDrivers, csiNodes, nodes, secrets } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { Client } from '#shared/client/client.ts'
import type { Informer } from '#shared/client/informer.ts'
import { rpcTypes } from '#shared/csi/messages.ts'
import { controller, identity } from '#shared/csi/services.ts'
import { decodeAnswer } from '#shared/grpc/client.ts'
import { Code, RpcError, type Rpc } from '#shared/grpc/rpc.ts'
import { encodeMessage } from '#shared/machinery/protobuf-encode.ts'
import type { Infer, ObjectSchema } from '#shared/machinery/schema.ts'
import { StatusError } from '#shared/machinery/status.ts'
import type { ControllerContext } from '../context.ts'
import { refusals } from './refusals.ts'
import { timeoutOf } from './timeout.ts'

/** On a CSIDriver: who does the work of the sidecars. */
export const controllerAnnotation = 'csi.coxswain.io/controller'
export const controllerName = 'kube-controller-manager'

/** For how long a driver's process that hangs is asked only where no other will do, and how long it has to say that it does not. */
const hungMs = 60_000
const probeTimeoutMs = 3_000
/** A request takes longer than its call, which is to be heard of in the driver's words. */
const requestMs = 5_000
/** For how long it is believed what a driver said that it can. Then it is asked again, by whoever comes, and nobody waits for that. */
const believedMs = 60_000

export type Segments = { readonly [key: string]: string }
export interface Abilities {
  /** ControllerServiceCapability.RPC.Type */
  readonly rpcs: ReadonlySet<number>
  /** PluginCapability.Service.Type */
  readonly services: ReadonlySet<number>
}
/** Makes a call in the time that the driver has. Rejects with an RpcError. */
export type Call = <Q extends ObjectSchema, A extends ObjectSchema>(rpc: Rpc<Q, A>, question: Infer<Q>) => Promise<Infer<A>>
export interface Csi {
  readonly drivers: Informer<CSIDriver>
  readonly csiNodes: Informer<CSINode>
  readonly nodes: Informer<Node>
  /** Whether the driver leaves the work of its sidecars to us. */
  drives(driver: string): boolean
  /**
   * Calls the driver on a ready node that has it: where there is one on a node of those topologies, since another may know nothing of their
   * volumes; of several on one where it does not hang.
   */
  caller(client: Client, driver: string, topologies?: readonly Segments[]): Call
  abilities(client: Client, driver: string): Promise<Abilities>
  /** The driver's entry of a node's CSINode. */
  entry(driver: string, node: string): NonNullable<CSINode['spec']['drivers']>[number] | undefined
}

const isReady = (node: Node | undefined): boolean => node?.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True') ?? false
const answerSchema = z.union([z.object({ answer: z.base64() }), z.object({ code: z.number().int(), details: z.string() })])

export function csi(ctx: ControllerContext): Csi {
  const drivers = ctx.informer(csiDrivers)
  const csiNodeInformer = ctx.informer(csiNodes)
  const nodeInformer = ctx.informer(nodes)
  const known = new Map<string, { at: number; abilities: Promise<Abilities> }>()
  drivers.subscribe(({ type, object }) => {
    const { wrong } = timeoutOf(object)
    if (wrong !== undefined && type !== 'DELETED') ctx.recorder('csi-controller').event(object, 'Warning', 'InvalidTimeout', wrong)
  })

  /** Processes, by node and driver. */
  const hung = refusals(hungMs)

  function candidates(driver: string, topologies: readonly Segments[]): string[] {
    const names = csiNodeInformer
      .list()
      .filter(n => n.spec.drivers?.some(d => d.name === driver) && isReady(nodeInformer.get('', n.metadata.name ?? '')))
      .map(n => n.metadata.name ?? '')
      .sort()
    const near = (name: string): boolean => {
      const labels = nodeInformer.get('', name)?.metadata.labels ?? {}
      return topologies.some(segments => Object.entries(segments).every(([key, value]) => labels[key] === value))
    }
    const rank = (name: string): number => (near(name) ? 0 : 2) + (hung.holds(`${name} ${driver}`) ? 1 : 0)
    return names.sort((a, b) => rank(a) - rank(b))
  }
  const callerOn =
    (node: string, driver: string, client: Client, timeoutMs: number): Call =>
    async (rpc, question) => {
      const path = `/api/v1/nodes/${encodeURIComponent(node)}/proxy/csi/${encodeURIComponent(driver)}${rpc.path}`
      const body = { question: encodeMessage(rpc.question, question as object).toString('base64'), timeoutMs }
      const answer = answerSchema.parse(await client.raw('POST', path, body, { timeoutMs: timeoutMs + requestMs }))
      if ('code' in answer) throw new RpcError(answer.code, answer.details)
      return decodeAnswer(rpc, Buffer.from(answer.answer, 'base64'))
    }
  /** What takes long is not to be begun by another process, too: only of one that answers nothing another is asked. */
  async function probe(node: string, driver: string, client: Client, timeoutMs: number): Promise<void> {
    const late = await callerOn(
      node,
      driver,
      client,
      Math.min(probeTimeoutMs, timeoutMs),
    )(identity.probe, {}).then(
      () => false,
      (e: unknown) => e instanceof RpcError && e.code === Code.deadlineExceeded,
    )
    if (late) hung.add(`${node} ${driver}`)
    else hung.forget(`${node} ${driver}`)
  }
  function caller(client: Client, driver: string, topologies: readonly Segments[] = []): Call {
    return async (rpc, question) => {
      const { ms } = timeoutOf(drivers.get('', driver))
      let last = `no ready node has driver ${driver}`
      for (const node of candidates(driver, topologies)) {
        try {
          return await callerOn(node, driver, client, ms)(rpc, question)
        } catch (e) {
          if (e instanceof RpcError && e.code === Code.deadlineExceeded) await probe(node, driver, client, ms)
          // Every call may be repeated, so that another node can be asked.
          if (!(e instanceof StatusError)) throw e
          last = e.message.trim()
        }
      }
      throw new RpcError(Code.unavailable, last)
    }
  }
  async function ask(client: Client, driver: string): Promise<Abilities> {
    const call = caller(client, driver)
    const [{ capabilities = [] }, rpcs] = await Promise.all([
      call(identity.getPluginCapabilities, {}),
      call(controller.controllerGetCapabilities, {}),
    ])
    return { rpcs: rpcTypes(rpcs), services: new Set(capabilities.map(c => c.service?.type ?? 0)) }
  }
  return {
    drivers,
    csiNodes: csiNodeInformer,
    nodes: nodeInformer,
    drives: driver => drivers.get('', driver)?.metadata.annotations?.[controllerAnnotation] === controllerName,
    caller,
    abilities(client, driver) {
      const old = known.get(driver)
      if (old && performance.now() - old.at < believedMs) return old.abilities
      const abilities = ask(client, driver)
      known.set(driver, { at: performance.now(), abilities: old?.abilities ?? abilities })
      abilities.then(
        () => known.set(driver, { at: performance.now(), abilities }),
        () => known.delete(driver),
      )
      return old?.abilities ?? abilities
    },
    entry: (driver, node) => csiNodeInformer.get('', node)?.spec.drivers?.find(d => d.name === driver),
  }
}

/** The secret that a driver is to be given, decoded; nothing without a reference. */
export async function secretOf(
  client: Client,
  ref: { namespace?: string | undefined; name?: string | undefined } | undefined,
): Promise<Record<string, string>> {
  if (!ref?.name) return {}
  const { data = {} } = await client.get(secrets, ref.namespace ?? '', ref.name)
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]))
}

/** Those topologies that a volume's node affinity names: of each term the values that it allows. */
export function topologiesOf(
  terms: readonly { matchExpressions?: { key: string; operator: string; values?: string[] | undefined }[] | undefined }[] | undefined,
): Segments[] {
  return (terms ?? []).map(term =>
    Object.fromEntries((term.matchExpressions ?? []).flatMap(({ key, values }) => (values?.[0] === undefined ? [] : [[key, values[0]]]))),
  )
}

/** Gives an object of a kind that is built in a finalizer, or takes it, whatever else changes of the object meanwhile. */
export const setFinalizer = <T extends KubeObject>(
  client: Client,
  kind: Kind<T>,
  { metadata: { namespace = '', name = '', uid } }: T,
  finalizer: string,
  there: boolean,
): Promise<T> =>
  client.patch(kind, namespace, name, 'strategic', {
    metadata: { uid, ...(there ? { finalizers: [finalizer] } : { '$deleteFromPrimitiveList/finalizers': [finalizer] }) },
  })

/** The object with a finalizer, or without it: for kinds of definitions, which have no strategic patches. */
export function finalized<T extends { metadata: { finalizers?: string[] | undefined } }>(object: T, finalizer: string, there: boolean): T {
  const others = (object.metadata.finalizers ?? []).filter(f => f !== finalizer)
  return { ...object, metadata: { ...object.metadata, finalizers: there ? [...others, finalizer] : others } }
}
export const hasFinalizer = (object: { metadata: { finalizers?: string[] | undefined } }, finalizer: string): boolean =>
  object.metadata.finalizers?.includes(finalizer) ?? false
