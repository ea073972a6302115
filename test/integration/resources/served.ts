/** Every resource in every version that it is served in, with paths and objects for requests. */
import { resources } from '#shared/api/resources.ts'
import { apiVersion, versionsOf, type Resource } from '#shared/api/resource.ts'
import type { ObjectSchema } from '#shared/machinery/schema.ts'
import type { Reply, Rest } from '../../fixtures/apiserver.ts'
import { sampleNames, samples, samplesOf, settles } from './samples.ts'

export const namespace = 'resources'

export interface ServedVersion {
  /** `apps/v1 deployments` */
  readonly title: string
  readonly resource: Resource
  readonly schema: ObjectSchema
  readonly group: string
  readonly version: string
  readonly apiVersion: string
  /** Of the collection, in the namespace of these tests where the kind has one. */
  readonly path: string
  /** Of the collection in all namespaces. */
  readonly everywhere: string
  /** Whether the server may choose a name. */
  readonly generates: boolean
  /** The name that stands for `short` where the kind takes only some. */
  named(short: string): string
  /** Whether the server has done what it does by itself to a new object. */
  settled(object: unknown): boolean
  /** A valid object, with labels; `name` as in `named`. */
  object(name: string): Sample
}
export type Sample = { apiVersion: string; kind: string; metadata: { name: string; labels: Record<string, string> } } & Record<
  string,
  unknown
>

function served(resource: Resource, { group, version, schema }: { group: string; version: string; schema: ObjectSchema }): ServedVersion {
  const own = apiVersion({ group, version })
  const root = `${group === '' ? '/api/v1' : `/apis/${own}`}`
  const key = `${resource.group}/${resource.plural}`
  const sample = samplesOf[`${own}/${resource.plural}`] ?? samples[key] ?? {}
  const named = sampleNames[key] ?? (short => short)
  return {
    title: `${own} ${resource.plural}`,
    resource,
    schema,
    group,
    version,
    apiVersion: own,
    path: `${root}/${resource.namespaced ? `namespaces/${namespace}/` : ''}${resource.plural}`,
    everywhere: `${root}/${resource.plural}`,
    generates: sampleNames[key] === undefined,
    named,
    settled: settles[key] ?? (() => true),
    object: short => ({
      apiVersion: own,
      kind: resource.kind,
      ...structuredClone(typeof sample === 'function' ? sample(named(short)) : sample),
      metadata: { name: named(short), labels: { suite: 'resources', name: short } },
    }),
  }
}

export const servedVersions: readonly ServedVersion[] = resources.flatMap(r => versionsOf(r).map(v => served(r, v)))

/** The namespace of these tests, with the account that pods need. */
export async function prepare(rest: Rest): Promise<void> {
  const made: Reply[] = [
    await rest('POST', '/api/v1/namespaces', { metadata: { name: namespace } }),
    await rest('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name: 'default' } }),
  ]
  for (const { code, text } of made) if (code !== 201) throw new Error(text)
}

/** Takes an object away, whatever keeps it. */
export async function remove(rest: Rest, at: string): Promise<void> {
  await rest('DELETE', `${at}?gracePeriodSeconds=0&propagationPolicy=Background`)
  const left = await rest('GET', at)
  if (left.code === 404) return
  if (left.body.kind === 'Namespace') await rest('PUT', `${at}/finalize`, { ...left.body, spec: { finalizers: [] } })
  else if (left.body.metadata.deletionTimestamp) await follow(rest, at, left.body.metadata.resourceVersion, type => type === 'DELETED')
  else throw new Error(`${at} stays: ${left.text}`)
}

/** Watches an object after a version until an event of it is as it shall be; resolves with its object. */
export async function follow(
  rest: Rest,
  at: string,
  resourceVersion: string,
  until: (type: string, object: any) => boolean, // any: of all kinds
): Promise<any> {
  const [name, path] = [at.slice(at.lastIndexOf('/') + 1), at.slice(0, at.lastIndexOf('/'))]
  const watch = await rest.watch(`${path}?watch=1&fieldSelector=metadata.name%3D${name}&resourceVersion=${resourceVersion}`)
  try {
    for (;;) {
      const { type, object } = await watch.next()
      if (until(type, object)) return object
    }
  } finally {
    watch.stop()
  }
}
