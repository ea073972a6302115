/** Extenders: programs that take part in scheduling over HTTP. k8s.io/kube-scheduler/extender/v1, pkg/scheduler/extender.go */
import { readFileSync } from 'node:fs'
import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { Pod } from '#shared/api/core/pod.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import type { Logger } from '#shared/component/log.ts'
import { parseDuration } from '#shared/machinery/duration.ts'
import type { ExtenderConfig } from './config/schema.ts'
import type { Diagnosis } from './fiterror.ts'
import type { NodeInfo } from './nodeinfo.ts'
import type { PodInfo } from './podinfo.ts'
import type { Victims } from './preemption/victims.ts'

export interface Filtered {
  readonly nodes: readonly string[]
  /** Reasons by node. */
  readonly failed: Readonly<Record<string, string>>
  readonly unresolvable: Readonly<Record<string, string>>
}
/** Calls reject when the extender does not answer in time, or not as it should. */
export interface Extender {
  readonly url: string
  /** Whether scheduling goes on without it when it fails. */
  readonly ignorable: boolean
  readonly filters: boolean
  readonly prioritizes: boolean
  readonly preempts: boolean
  readonly binds: boolean
  /** Of its scores. */
  readonly weight: number
  /** Whether the pod asks for a resource that it manages; it cares for all pods when it manages none. */
  cares(pod: LeanPod): boolean
  filter(pod: LeanPod, nodes: readonly NodeInfo[]): Promise<Filtered>
  /** Scores from 0 to 10 by node. */
  prioritize(pod: LeanPod, nodes: readonly NodeInfo[]): Promise<ReadonlyMap<string, number>>
  /** The UIDs of victims, and how many budgets they break, by node. */
  preempt(
    pod: LeanPod,
    victims: readonly Victims[],
  ): Promise<ReadonlyMap<string, { readonly pods: readonly string[]; readonly violations: number }>>
  bind(pod: LeanPod, node: string): Promise<void>
}

/** What makes rejected pods wait for any change at all: an extender does not say which may help. */
export const extenderName = 'Extender'
const defaultTimeoutMs = 5_000
/** Answers of more bytes than this are refused. */
const maxAnswer = 64 * 1024 * 1024
/** Upstream's scores go to 100, those of extenders to 10. */
const scale = 100 / 10

/** `full` gets a pod as the API has it: the scheduler's own copy lacks what it runs. Throws when a file that it names cannot be read. */
export function newExtender(config: ExtenderConfig, full: (pod: LeanPod) => Promise<Pod>): Extender {
  const { urlPrefix, filterVerb, prioritizeVerb, preemptVerb, bindVerb, nodeCacheCapable: cached = false, ignorable = false } = config
  const managed = new Set((config.managedResources ?? []).map(r => r.name))
  const send = sender(config)
  const nodesOf = (nodes: readonly NodeInfo[]) =>
    cached
      ? { Nodes: null, NodeNames: nodes.map(n => n.name) }
      : { Nodes: { metadata: {}, items: nodes.map(n => n.node) }, NodeNames: null }
  return {
    url: urlPrefix,
    ignorable,
    filters: Boolean(filterVerb),
    prioritizes: Boolean(prioritizeVerb),
    preempts: Boolean(preemptVerb),
    binds: Boolean(bindVerb),
    weight: config.weight ?? 0,
    cares: ({ spec }) =>
      managed.size === 0 ||
      [...spec.containers, ...(spec.initContainers ?? [])].some(({ resources: r }) =>
        [...Object.keys(r?.requests ?? {}), ...Object.keys(r?.limits ?? {})].some(name => managed.has(name)),
      ),
    async filter(pod, nodes) {
      const answer = await send(filterVerb ?? '', { Pod: await full(pod), ...nodesOf(nodes) })
      const error = field<string>(answer, 'error')
      if (error) throw new Error(error)
      const names = cached ? field<string[]>(answer, 'nodenames') : undefined
      const items = field<{ metadata: { name: string } }[]>(field(answer, 'nodes'), 'items')
      const left = names ?? items?.map(n => n.metadata.name) ?? []
      const known = new Set(nodes.map(n => n.name))
      const strange = left.find(n => !known.has(n))
      if (strange !== undefined)
        throw new Error(
          `extender ${JSON.stringify(urlPrefix)} claims a filtered node ${JSON.stringify(strange)} which is not found in the input node list`,
        )
      return { nodes: left, failed: field(answer, 'failednodes') ?? {}, unresolvable: field(answer, 'failedandunresolvablenodes') ?? {} }
    },
    async prioritize(pod, nodes) {
      const answer = await send(prioritizeVerb ?? '', { Pod: await full(pod), ...nodesOf(nodes) })
      return new Map((answer as object[] | null)?.map(one => [field<string>(one, 'host') ?? '', field<number>(one, 'score') ?? 0]))
    },
    async preempt(pod, victims) {
      const count = (v: Victims) => ({ NumPDBViolations: v.violations })
      const by = (pods: (v: Victims) => object[]) => Object.fromEntries(victims.map(v => [v.node, { Pods: pods(v), ...count(v) }]))
      const asked = cached
        ? { NodeNameToVictims: null, NodeNameToMetaVictims: by(v => v.pods.map(p => ({ UID: p.uid }))) }
        : { NodeNameToVictims: by(v => v.pods.map(p => p.pod)), NodeNameToMetaVictims: null }
      const answer = await send(preemptVerb ?? '', { Pod: await full(pod), ...asked })
      const nodes = field<Record<string, object>>(answer, 'nodenametometavictims') ?? {}
      return new Map(
        Object.entries(nodes).map(([node, found]) => [
          node,
          {
            pods: (field<object[]>(found, 'pods') ?? []).map(p => field<string>(p, 'uid') ?? ''),
            violations: field<number>(found, 'numpdbviolations') ?? 0,
          },
        ]),
      )
    },
    async bind({ metadata: { name, namespace, uid } }, node) {
      const answer = await send(bindVerb ?? '', { PodName: name, PodNamespace: namespace, PodUID: uid, Node: node })
      const error = field<string>(answer, 'error')
      if (error) throw new Error(error)
    },
  }
}

/** Go reads fields whatever the case of their names. */
function field<T>(object: unknown, name: string): T | undefined {
  if (typeof object !== 'object' || object === null) return undefined
  const found = Object.entries(object).find(([key]) => key.toLowerCase() === name)
  return (found?.[1] as T | null | undefined) ?? undefined
}

/** Posts JSON to `urlPrefix/verb`, and gives what is answered. */
function sender({ urlPrefix, enableHTTPS, tlsConfig = {}, httpTimeout }: ExtenderConfig): (verb: string, body: object) => Promise<unknown> {
  const timeoutMs = (httpTimeout === undefined ? 0 : (parseDuration(httpTimeout) ?? 0)) || defaultTimeoutMs
  const secure = urlPrefix.startsWith('https:')
  const pem = (data: string | undefined, file: string | undefined): Buffer | undefined =>
    data ? Buffer.from(data, 'base64') : file ? readFileSync(file) : undefined
  const [ca, cert, key] = [
    pem(tlsConfig.caData, tlsConfig.caFile),
    pem(tlsConfig.certData, tlsConfig.certFile),
    pem(tlsConfig.keyData, tlsConfig.keyFile),
  ]
  const tls = {
    ...(ca ? { ca } : {}),
    ...(cert ? { cert } : {}),
    ...(key ? { key } : {}),
    ...(tlsConfig.serverName ? { servername: tlsConfig.serverName } : {}),
    // As upstream: with enableHTTPS and no authority nothing is checked.
    rejectUnauthorized: !tlsConfig.insecure && !(enableHTTPS && !ca),
  }
  const agent = secure ? new HttpsAgent({ keepAlive: true, ...tls }) : new HttpAgent({ keepAlive: true })
  return (verb, body) =>
    new Promise((resolve, reject) => {
      const url = `${urlPrefix.replace(/\/+$/, '')}/${verb}`
      const text = JSON.stringify(body)
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
      const options = { method: 'POST', agent, headers, signal: AbortSignal.timeout(timeoutMs) }
      const req = (secure ? httpsRequest : httpRequest)(url, options, res => {
        const chunks: Buffer[] = []
        let size = 0
        res.on('data', (chunk: Buffer) => {
          size += chunk.length
          if (size > maxAnswer) res.destroy(new Error(`the answer of extender ${url} is too large`))
          else chunks.push(chunk)
        })
        res.on('error', reject)
        res.on('end', () => {
          if (res.statusCode !== 200) return reject(new Error(`failed ${verb} with extender at URL ${url}, code ${res.statusCode}`))
          try {
            resolve(JSON.parse(Buffer.concat(chunks).toString()))
          } catch (e) {
            reject(e as Error)
          }
        })
      })
      req.on('error', e =>
        reject(
          e.name === 'AbortError' || e.name === 'TimeoutError'
            ? new Error(`Post ${JSON.stringify(url)}: no answer within ${timeoutMs} ms`)
            : e,
        ),
      )
      req.end(text)
    })
}

/** Asks them in turn, each about what the one before has left. */
export async function filterByExtenders(
  extenders: readonly Extender[],
  pod: LeanPod,
  nodes: NodeInfo[],
  diagnosis: Diagnosis,
): Promise<NodeInfo[]> {
  let left = nodes
  for (const extender of extenders) {
    if (left.length === 0) break
    if (!extender.filters || !extender.cares(pod)) continue
    let found: Filtered
    try {
      found = await extender.filter(pod, left)
    } catch (e) {
      if (extender.ignorable) continue
      throw e
    }
    const note = (failed: Filtered['failed'], code: 'Unschedulable' | 'UnschedulableAndUnresolvable'): void => {
      for (const [node, reason] of Object.entries(failed)) {
        if (code === 'Unschedulable' && node in found.unresolvable) continue
        diagnosis.explicit.set(node, { code, reasons: [...(diagnosis.explicit.get(node)?.reasons ?? []), reason] })
      }
    }
    note(found.unresolvable, 'UnschedulableAndUnresolvable')
    note(found.failed, 'Unschedulable')
    const names = new Set(found.nodes)
    const passed = left.filter(n => names.has(n.name))
    if (passed.length < left.length) diagnosis.rejectedBy.add(extenderName)
    left = passed
  }
  return left
}

/** Adds their scores to `totals`. One that fails has no say. */
export async function scoreByExtenders(
  extenders: readonly Extender[],
  pod: LeanPod,
  nodes: readonly NodeInfo[],
  totals: Float64Array,
): Promise<void> {
  const asked = extenders.filter(e => e.prioritizes && e.cares(pod))
  const answers = await Promise.all(
    asked.map(e =>
      e.prioritize(pod, nodes).then(
        scores => ({ scores, weight: e.weight }),
        () => undefined,
      ),
    ),
  )
  for (const answer of answers)
    if (answer) nodes.forEach((node, i) => (totals[i]! += (answer.scores.get(node.name) ?? 0) * answer.weight * scale))
}

/** What they leave of the candidates for a preemption. Rejects when one fails that must not. */
export async function preemptByExtenders(
  extenders: readonly Extender[],
  pod: PodInfo,
  candidates: readonly Victims[],
  podsOf: (node: string) => ReadonlyMap<string, PodInfo> | undefined,
): Promise<readonly Victims[]> {
  let left = candidates
  for (const extender of extenders) {
    if (left.length === 0) break
    if (!extender.preempts || !extender.cares(pod.pod)) continue
    try {
      const answer = await extender.preempt(pod.pod, left)
      left = [...answer].flatMap(([node, { pods, violations }]): Victims[] => {
        const there = podsOf(node)
        const victims = pods.map(uid => {
          const victim = there?.get(uid)
          if (victim) return victim
          throw new Error(
            `extender: ${extender.url} claims to preempt pod (UID: ${uid}) on node: ${node}, but the pod is not found on that node`,
          )
        })
        if (victims.length > 0) return [{ node, pods: victims, violations }]
        if (extender.ignorable) return []
        throw new Error(`expected at least one victim pod on node ${JSON.stringify(node)}`)
      })
    } catch (e) {
      if (!extender.ignorable) throw e
    }
  }
  return left
}

/** Whether one of them has bound the pod. Rejects with why the one that binds could not. */
export async function bindByExtenders(extenders: readonly Extender[], pod: LeanPod, node: string, log: Logger): Promise<boolean> {
  for (const extender of extenders) {
    if (!extender.binds || !extender.cares(pod)) continue
    try {
      await extender.bind(pod, node)
      return true
    } catch (e) {
      if (!extender.ignorable) throw e
      log.info({ extender: extender.url, err: (e as Error).message }, 'an extender that may be ignored did not bind')
    }
  }
  return false
}
