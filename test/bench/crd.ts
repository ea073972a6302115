/** Custom resources beside ConfigMaps of the same content, how soon a kind is served, and what many kinds cost. */
import { Agent } from 'node:https'
import { setTimeout as delay } from 'node:timers/promises'
import { pods } from '#shared/api/kinds.ts'
import { apiVersion } from '#shared/api/resource.ts'
import { StatusError } from '#shared/machinery/status.ts'
import type { Bench, Measurement, Row } from './measurement.ts'
import { stored } from './pods.ts'
import { inFlight, percentile } from './statistics.ts'
import { administratorToken } from './token.ts'
import { until } from './until.ts'
import { latencies, type Subject } from './watch.ts'
import { wrk, type LoadResult } from './wrk.ts'

const connections = 16
const MiB = 1 << 20
const group = 'bench.example.com'
const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'

/** A kind whose objects look like ConfigMaps. */
const plain = { type: 'object', properties: { data: { type: 'object', additionalProperties: { type: 'string' } } } }
/** A schema as long as those of operators are on average. */
const large = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      properties: Object.fromEntries(
        Array.from({ length: 40 }, (_, i) => [
          `field${i}`,
          {
            type: 'object',
            description: 'A part of what is wanted, with as many words about it as people write who want to be understood. '.repeat(2),
            properties: Object.fromEntries(
              ['name', 'image', 'count', 'labels'].map(name => [
                name,
                name === 'labels'
                  ? { type: 'object', additionalProperties: { type: 'string' }, description: 'What it is known by.' }
                  : { type: name === 'count' ? 'integer' : 'string', description: `The ${name} of this part, as everywhere.` },
              ]),
            ),
          },
        ]),
      ),
    },
    status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
  },
}

const definition = (plural: string, schema: object, of = group) => ({
  kind: 'CustomResourceDefinition',
  apiVersion: 'apiextensions.k8s.io/v1',
  metadata: { name: `${plural}.${of}` },
  spec: {
    group: of,
    scope: 'Namespaced',
    names: { plural, kind: `${plural.slice(0, 1).toUpperCase()}${plural.slice(1)}` },
    versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema }, subresources: { status: {} } }],
  },
})

/** From sending the definition to the first answer of the kind, ms. */
async function define({ client, afterwards }: Bench, plural: string, schema: object, of = group): Promise<number> {
  const before = performance.now()
  await client.raw('POST', definitions, definition(plural, schema, of))
  afterwards(() => client.raw('DELETE', `${definitions}/${plural}.${of}`))
  for (;;) {
    try {
      await client.raw('GET', `/apis/${of}/v1/${plural}?limit=1`)
      return performance.now() - before
    } catch (e) {
      if (!(e instanceof StatusError && e.code === 404) || performance.now() - before > 10_000) throw e
    }
  }
}

export const measureCrd: Measurement = async bench => {
  const rows = [...(await besideConfigMaps(bench)), ...(await served(bench)), ...(await many(bench))]
  return rows
}

async function besideConfigMaps(bench: Bench): Promise<Row[]> {
  const { cluster, client, sizes, say } = bench
  const { seconds, listed } = sizes
  const headers = { Authorization: await administratorToken(bench, await bench.namespace()) }
  await define(bench, 'settings', plain)
  const data = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`key-${i}`, `value ${i} of what is configured`.repeat(2)]))
  const kinds = [
    { kind: 'ConfigMap', group: '', version: 'v1', root: '/api/v1', plural: 'configmaps' },
    { kind: 'Settings', group, version: 'v1', root: `/apis/${group}/v1`, plural: 'settings' },
  ] as const
  const [read, written] = [await bench.namespace(), await bench.namespace()]
  const at = (k: (typeof kinds)[number], namespace: string) => `${k.root}/namespaces/${namespace}/${k.plural}`
  const object = (k: (typeof kinds)[number], name: string) => ({ kind: k.kind, apiVersion: apiVersion(k), metadata: { name }, data })
  for (const k of kinds) await inFlight(listed, connections, i => client.raw('POST', at(k, read), object(k, `object-${i}`)))
  const loads = {
    create: (k: (typeof kinds)[number], round: number) =>
      wrk({
        url: cluster.url() + at(k, written),
        connections,
        seconds,
        headers,
        body: JSON.stringify(object(k, '%NAME%')),
        prefix: `${round}-`,
      }),
    get: (k: (typeof kinds)[number]) => wrk({ url: `${cluster.url()}${at(k, read)}/object-0`, connections, seconds, headers }),
    [`list of ${listed}`]: (k: (typeof kinds)[number]) => wrk({ url: cluster.url() + at(k, read), connections, seconds, headers }),
  }
  const rows: Row[] = []
  for (const [name, load] of Object.entries(loads)) {
    // By turns, so that what the machine does else is done to both; the first round warms up.
    const results: LoadResult[][] = [[], []]
    for (let round = 0; round < 4; round++)
      for (const [i, k] of kinds.entries()) {
        const result = await load(k, round)
        if (round > 0) results[i]!.push(result)
      }
    const [floor, value] = results.map(all => percentile(all.map(r => r.perSecond), 0.5)) as [number, number] // prettier-ignore
    say(`${name}: custom resource ${value.toFixed(0)}/s, ConfigMap ${floor.toFixed(0)}/s`)
    rows.push({ name: `custom resource: ${name}`, unit: '/s', value, floor, floorName: 'the same of ConfigMaps', target: floor * 0.85 })
  }
  const agent = new Agent({ keepAlive: true, ca: cluster.pem('ca.crt'), cert: cluster.pem('admin.crt'), key: cluster.pem('admin.key') })
  bench.afterwards(() => agent.destroy())
  const watched = await bench.namespace()
  const [floors, samples] = [[] as number[], [] as number[]]
  for (let round = 0; round < 3; round++)
    for (const [i, k] of kinds.entries()) {
      const path = at(k, watched)
      const body = (mark: string): string => JSON.stringify(object(k, `round-${round}-${mark}`))
      const subject: Subject = { url: cluster.url(), agent, watchPath: `${path}?watch=1`, writePath: path, body }
      ;(i === 0 ? floors : samples).push(...(await latencies(subject, 1, 5 + sizes.repeat * 3, 5)))
    }
  const floor = percentile(floors, 0.5)
  rows.push({
    name: 'custom resource: write to event at a watcher, p50',
    unit: 'ms',
    value: percentile(samples, 0.5),
    floor,
    floorName: 'the same of ConfigMaps',
    target: floor * 1.15,
  })
  return rows
}

async function served(bench: Bench): Promise<Row[]> {
  const times: number[] = []
  for (let i = 0; i < bench.sizes.repeat; i++) times.push(await define(bench, `soon${i}s`, large))
  return [{ name: 'CRD created to served, p50', unit: 'ms', value: percentile(times, 0.5), target: 100 }]
}

async function many(bench: Bench): Promise<Row[]> {
  const { cluster, client, sizes, say } = bench
  const { seconds } = sizes
  const namespace = await bench.namespace()
  const headers = { Authorization: await administratorToken(bench, namespace) }
  const creates = async (prefix: string): Promise<number> => {
    const body = JSON.stringify(stored(namespace, '%NAME%'))
    const url = `${cluster.url()}/api/v1/namespaces/${namespace}/pods`
    await wrk({ url, connections, seconds: Math.min(seconds, 3), headers, body, prefix: `warm-${prefix}` })
    return (await wrk({ url, connections, seconds, headers, body, prefix })).perSecond
  }
  /** PSS of the API server once it has given back what its last work took. */
  const memory = async (): Promise<number> => {
    await delay(Math.min(10, 2 * seconds) * 1000)
    return (await cluster.ps()).filter(p => p.component === 'kube-apiserver').reduce((sum, p) => sum + p.pss, 0) / MiB
  }
  const rows: Row[] = []
  const rate = await creates('before-')
  await client.raw('DELETE', `/api/v1/namespaces/${namespace}/pods`)
  await until(async () => (await client.list(pods, namespace)).items.length === 0, 'the pods are gone', 60_000)
  const idle = await memory()
  let made = 0
  for (const [count, target] of [
    [sizes.definitions, 100],
    [2 * sizes.definitions, undefined],
  ] as const) {
    const before = performance.now()
    // A few kinds to a group, as projects have them.
    await inFlight(count - made, 8, i => define(bench, `many${made + i}s`, large, `group${Math.floor((made + i) / 5)}.example.com`))
    say(`${count - made} definitions served in ${((performance.now() - before) / 1000).toFixed(1)} s`)
    made = count
    const used = (await memory()) - idle
    rows.push({
      name: `memory of kube-apiserver for ${count} CRDs`,
      unit: 'MiB',
      value: Math.max(used, 0.1),
      ...(target ? { target } : {}),
    })
    if (rows.length > 1) continue
    const value = await creates('after-')
    say(`create pod with ${count} CRDs: ${value.toFixed(0)}/s, without ${rate.toFixed(0)}/s`)
    rows.push({ name: `create pod with ${count} CRDs`, unit: '/s', value, floor: rate, floorName: 'without', target: rate * 0.95 })
  }
  return rows
}
