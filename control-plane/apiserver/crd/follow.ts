/**
 * Serves what the stored CustomResourceDefinitions define. It changes in the tick in which this server's cache does, so that whoever waits
 * for this server's cache (registry/peers.ts) waits for the kind to be served.
 */
import { createHash } from 'node:crypto'
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionNames,
  WebhookConversion,
} from '#shared/api/apiextensions/customresourcedefinition.ts'
import { customResourceDefinitions } from '#shared/api/kinds.ts'
import type { Resource } from '#shared/api/resource.ts'
import type { Logger } from '#shared/component/log.ts'
import type { Registry, Stored } from '../registry/registry.ts'
import type { Served, Surface } from '../surface.ts'
import type { Converter } from './conversion.ts'
import { resourceOf, terminatingVerbs, type Source } from './resource.ts'
import { conditionOf, hasCondition, type Rival } from './status.ts'

export const table = { group: customResourceDefinitions.group, plural: customResourceDefinitions.plural }

/** A definition, without the bulk of it. */
interface Known {
  readonly source: Source
  readonly group: string
  readonly names: CustomResourceDefinitionNames
  readonly accepted: boolean
  readonly established: boolean
  readonly terminating: boolean
  /** Of all that the kind is made from. */
  readonly hash: string
  /** As it is served; undefined when it is not. */
  readonly resource: Resource | undefined
}

export interface Definitions {
  /** The other definitions of a group. */
  rivals(group: string, name: string): readonly Rival[]
  names(): Iterable<string>
  /** Those of a group that were not given all the names that they want. */
  waiting(group: string): readonly string[]
  /** The kind of a definition, when it is served. */
  resource(name: string): Resource | undefined
  /** Calls `listener` with the name of each definition that changes or goes, and its group. */
  onChange(listener: (name: string, group: string) => void): void
  stop(): void
}

const terminating = 'create not allowed while custom resource definition is terminating'

/** Everything that is stored is served when it returns. `webhook` makes what converts with a webhook. */
export function followDefinitions(
  registry: Registry,
  surface: Surface,
  webhook: (webhook: WebhookConversion) => Converter,
  log: Logger,
): Definitions {
  const known = new Map<string, Known>()
  const listeners = new Set<(name: string, group: string) => void>()
  const builtIn = new Set(surface.current.resources.map(r => `${r.group}/${r.plural}`))
  let stop = (): void => {}

  /** Objects that are stored already may be of another schema: the kind looks at them when it reads them. */
  const sinceOf = (group: string, plural: string, version: number): number | undefined =>
    registry.list({ group, plural }).some(s => s.version < version) ? version : undefined

  const make = (stored: Stored, source: Source, d: CustomResourceDefinition, hash: string): Resource | undefined => {
    const { plural } = d.status!.acceptedNames!
    if (builtIn.has(`${d.spec.group}/${plural}`)) return undefined
    try {
      const since = sinceOf(d.spec.group, plural, stored.version)
      return resourceOf(source, d.status!.acceptedNames!, hash, since, webhook)
    } catch (e) {
      log.error({ name: stored.name, err: (e as Error).message }, 'a custom kind cannot be served')
      return undefined
    }
  }

  const look = (stored: Stored, before: Known | undefined): Known => {
    const d = stored.object as CustomResourceDefinition
    const { acceptedNames } = d.status ?? {}
    const established = hasCondition(d, 'Established')
    const hash = createHash('sha1')
      .update(JSON.stringify([d.metadata.uid, d.spec, acceptedNames]))
      .digest('base64')
    const accepted = hasCondition(d, 'NamesAccepted')
    const serves = acceptedNames?.plural && (established || accepted)
    const same = before?.hash === hash && before.resource !== undefined
    const source = same ? before.source : { stored }
    source.stored = stored
    const resource = !serves ? undefined : same ? before.resource : make(stored, source, d, hash)
    return {
      source,
      group: d.spec.group,
      names: acceptedNames ?? { plural: '', kind: '' },
      accepted,
      established,
      // Once it was emptied nobody would empty it again, however long others' finalizers keep it.
      terminating: d.metadata.deletionTimestamp !== undefined && conditionOf(d, 'Terminating') !== undefined,
      hash,
      resource,
    }
  }

  const show = (now: Known | undefined, before: Known | undefined): void => {
    const gone = before?.resource
    if (gone && (gone.plural !== now?.resource?.plural || gone.group !== now.resource.group)) surface.remove(gone)
    if (!now?.resource) return
    if (now.resource !== gone) surface.install(servedOf(now))
    else if (now.established !== before?.established || now.terminating !== before.terminating) surface.amend(servedOf(now))
  }

  const take = (name: string, stored: Stored | undefined): void => {
    const before = known.get(name)
    let now: Known | undefined
    try {
      now = stored && look(stored, before)
    } catch (e) {
      log.error({ name, err: (e as Error).message }, 'a stored CustomResourceDefinition cannot be read')
    }
    if (now) known.set(name, now)
    else known.delete(name)
    show(now, before)
    const group = now?.group ?? before?.group
    if (group !== undefined) for (const listener of listeners) listener(name, group)
  }

  const begin = (): void => {
    const there = registry.list(table)
    const names = new Set(there.map(s => s.name))
    for (const name of known.keys()) if (!names.has(name)) take(name, undefined)
    for (const stored of there) if (known.get(stored.name)?.source.stored.version !== stored.version) take(stored.name, stored)
    stop = registry.watch(
      table,
      { after: registry.version },
      {
        events(events) {
          for (const { type, stored } of events) take(stored.name, type === 'DELETED' ? undefined : stored)
        },
        progress: () => {},
        expired: begin,
      },
    )
  }
  begin()

  return {
    rivals: (group, name) =>
      [...known]
        .filter(([other, k]) => k.group === group && other !== name)
        .map(([, k]) => ({ version: k.source.stored.version, names: k.names, established: k.established })),
    names: () => known.keys(),
    waiting: group => [...known].filter(([, k]) => k.group === group && !k.accepted).map(([name]) => name),
    resource: name => known.get(name)?.resource,
    onChange: listener => void listeners.add(listener),
    stop: () => stop(),
  }
}

/** Before it is Established nobody is told of the kind. */
const servedOf = ({ resource, established, terminating: ends }: Known): Served => ({
  resource: ends ? { ...resource!, shownVerbs: terminatingVerbs, refusesCreate: terminating } : resource!,
  hidden: !established,
})
