/**
 * What is served now: kinds, with their endpoints and everything of the API server's that belongs to them, and group versions that another
 * server answers for. Both come and go while this one runs.
 */
import { versionsOf, type Resource } from '#shared/api/resource.ts'
import type { RequestContext } from './chain/chain.ts'
import type { Answer } from './chain/response.ts'
import { servedGroups, type OtherVersion, type ServedGroup } from './discovery/groups.ts'
import type { Priorities } from './discovery/priorities.ts'
import { endpointsOf, type Endpoint } from './objects/endpoint.ts'
import type { Hooks } from './objects/hooks.ts'
import type { PartV2 } from './openapi/v2.ts'
import type { Verb } from './verbs/context.ts'

/** A kind as this server serves it. */
export interface Served {
  readonly resource: Resource
  /** What each verb does on a subresource; `status` and `scale` are the same for all kinds. */
  readonly subresources?: Readonly<Record<string, Readonly<Record<string, Verb>>>> | undefined
  /** What happens around writes of its objects. */
  readonly hooks?: Hooks | undefined
  /** Answers in place of a store: nothing of the kind is kept (TokenReview). */
  readonly answer?: (ctx: RequestContext) => Promise<Answer>
  /** Answered, but neither in discovery nor in OpenAPI. */
  readonly hidden?: boolean
}

/** A group version that another server answers for, as an APIService says, with what discovery shows of it. */
export interface Proxied extends OtherVersion {
  readonly serve: (ctx: RequestContext) => Answer | Promise<Answer>
  readonly openApi: ProxiedOpenApi
}

/** What another server says of a group version in OpenAPI; undefined while that is not known. */
export interface ProxiedOpenApi {
  /** The hash of its document of version 3, which the server gives, unless that is `document`: made of version 2. */
  readonly v3: { readonly hash: string } | { readonly document: Buffer } | undefined
  readonly v2: PartV2 | undefined
}

/** Everything that is served at one time; never changed, so that its identity is a key for what is made of it. */
export interface Serving {
  /** By `group/version/plural`. */
  readonly endpoints: ReadonlyMap<string, Endpoint>
  /** By `group/version/plural`, with those that have no endpoint. */
  readonly kinds: ReadonlyMap<string, Served>
  /** `group/version` of all kinds. */
  readonly groupVersions: ReadonlySet<string>
  /** What discovery and OpenAPI show. */
  readonly resources: readonly Resource[]
  /** By `group/version`; what is here is not answered by this server, should it serve the same. */
  readonly proxied: ReadonlyMap<string, Proxied>
  /** Whether another server answers for a group version. */
  readonly isProxied: (group: string, version: string) => boolean
  /** `resources` and `proxied` as discovery arranges them; made when first asked for. */
  readonly groups: readonly ServedGroup[]
}

export interface Change {
  readonly installed: readonly Served[]
  readonly removed: readonly Served[]
}

const keyOf = ({ group, plural }: { group: string; plural: string }): string => `${group}/${plural}`

export class Surface {
  readonly #kinds = new Map<string, { served: Served; endpoints: readonly Endpoint[] }>()
  readonly #proxied = new Map<string, Proxied>()
  readonly #listeners = new Set<(change: Change) => void>()
  #priorities: Priorities | undefined
  #current: Serving | undefined

  /** What is served now. */
  get current(): Serving {
    return (this.#current ??= servingOf([...this.#kinds.values()], this.#proxied, this.#priorities))
  }

  /** Serves kinds from now on; one of the same group and plural is replaced, and watches of it end. */
  install(...kinds: readonly Served[]): void {
    const removed: Served[] = []
    for (const served of kinds) {
      const key = keyOf(served.resource)
      const before = this.#kinds.get(key)
      if (before) removed.push(this.#end(before))
      this.#kinds.set(key, { served, endpoints: served.answer ? [] : endpointsOf(served.resource, served.hooks) })
    }
    this.#changed({ installed: kinds, removed })
  }

  /** Says other things about kinds that are served: their rules are the same, and watches go on. */
  amend(...kinds: readonly Served[]): void {
    for (const served of kinds) {
      const { resource, hooks } = served
      const before = this.#kinds.get(keyOf(resource))
      const lifetime = before?.endpoints[0]?.lifetime
      this.#kinds.set(keyOf(resource), { served, endpoints: served.answer ? [] : endpointsOf(resource, hooks, lifetime) })
    }
    this.#changed({ installed: kinds, removed: [] })
  }

  /** Serves a kind no more: watches of it end, its paths are not found. Its objects stay where they are. */
  remove(kind: { group: string; plural: string }): void {
    const before = this.#kinds.get(keyOf(kind))
    if (!before) return
    this.#kinds.delete(keyOf(kind))
    this.#changed({ installed: [], removed: [this.#end(before)] })
  }

  /** Hands a group version over to another server, or to what that one serves now. */
  proxy(proxied: Proxied): void {
    this.#proxied.set(`${proxied.group}/${proxied.version}`, proxied)
    this.#changed({ installed: [], removed: [] })
  }

  unproxy(group: string, version: string): void {
    if (this.#proxied.delete(`${group}/${version}`)) this.#changed({ installed: [], removed: [] })
  }

  /** The order of groups and versions from now on. */
  prioritize(priorities: Priorities): void {
    this.#priorities = priorities
    this.#changed({ installed: [], removed: [] })
  }

  /** Calls `listener` after each change, when `current` shows it. Returns how to stop. */
  onChange(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #end({ served, endpoints }: { served: Served; endpoints: readonly Endpoint[] }): Served {
    for (const { lifetime } of endpoints) lifetime.end()
    return served
  }

  #changed(change: Change): void {
    this.#current = undefined
    for (const listener of [...this.#listeners]) listener(change)
  }
}

function servingOf(
  all: readonly { served: Served; endpoints: readonly Endpoint[] }[],
  proxied: ReadonlyMap<string, Proxied>,
  priorities: Priorities | undefined,
): Serving {
  const endpoints = new Map<string, Endpoint>()
  const kinds = new Map<string, Served>()
  const groupVersions = new Set<string>()
  for (const { served, endpoints: own } of all) {
    const { resource } = served
    for (const { group, version } of versionsOf(resource)) {
      kinds.set(`${group}/${version}/${resource.plural}`, served)
      groupVersions.add(`${group}/${version}`)
    }
    for (const endpoint of own) endpoints.set(`${endpoint.group}/${endpoint.version}/${endpoint.plural}`, endpoint)
  }
  const resources = all.flatMap(({ served }) => (served.hidden ? [] : [served.resource]))
  const others = new Map(proxied)
  const otherGroups = new Set([...others.values()].map(o => o.group))
  let groups: readonly ServedGroup[] | undefined
  return {
    endpoints,
    kinds,
    groupVersions,
    resources,
    proxied: others,
    isProxied: (group, version) => otherGroups.has(group) && others.has(`${group}/${version}`),
    get groups() {
      return (groups ??= servedGroups(resources, [...others.values()], priorities))
    },
  }
}
