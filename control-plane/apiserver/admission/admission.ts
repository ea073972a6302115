/**
 * Admission: plugins that complete objects (mutating), then plugins that refuse (validating), in the order of the list. Every write and
 * every connection is put to them as a request (k8s.io/apiserver/pkg/admission).
 */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { UserInfo } from '#shared/bus/transport.ts'
import type { Codec } from '#shared/machinery/codec.ts'
import { forbidden, type StatusError } from '#shared/machinery/status.ts'
import type { Annotation } from '../audit/event.ts'

export type Operation = 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT'

export interface GroupVersionKind {
  readonly group: string
  readonly version: string
  readonly kind: string
}
export interface GroupVersionResource {
  readonly group: string
  readonly version: string
  readonly resource: string
}

/** What a request is about: the kind of its object and the resource, in the form that plugins see and as the client asked. */
export interface Target {
  readonly kind: GroupVersionKind
  readonly resource: GroupVersionResource
  readonly requestKind: GroupVersionKind
  readonly requestResource: GroupVersionResource
  /** Of an object that is none of the resource's kind (the body of a subresource) or of no store: how what a plugin makes of it is read. */
  readonly codec?: Codec | undefined
}

/** CreateOptions, UpdateOptions or DeleteOptions of the request. */
export type Options = Readonly<Record<string, unknown>>

/** What a plugin is asked about. */
export interface Attributes extends Target {
  readonly operation: Operation
  /** `''` for the main resource. */
  readonly subresource: string
  readonly namespace: string
  /** `''` for a create with generateName, until the name is made. */
  readonly name: string
  /**
   * In the stored form; of a subresource with a body of its own that body, of a connection its options. While mutating it is the request's
   * own: a plugin may change it, or return another that takes its place. Undefined for a deletion.
   */
  readonly object: KubeObject | undefined
  /** As it is stored; never to be changed. */
  readonly old: KubeObject | undefined
  /** Undefined for a connection. */
  readonly options: Options | undefined
  readonly user: UserInfo
  readonly dryRun: boolean
  /** Whether the server itself is at work, not for a client. */
  readonly own: boolean
  /** Asked for the second time, because an external plugin changed the object after the first. */
  readonly reinvocation: boolean
  /** Tells the client something. */
  warn(text: string): void
  /** Notes something for the audit log, with a level not below that. */
  annotate(...annotation: Annotation): void
}

/** A plugin throws a StatusError to refuse. Most decide at once. */
export interface AdmissionPlugin {
  readonly name: string
  /** Its changes come from elsewhere (a webhook, a policy of the user's): all plugins are asked once more, as they may concern them. */
  readonly external?: boolean
  readonly mutate?: (a: Attributes) => KubeObject | void | Promise<KubeObject | void>
  readonly validate?: (a: Attributes) => void | Promise<void>
}

/** Who asks, and how. */
export interface By {
  readonly user: UserInfo
  readonly dryRun: boolean
  readonly warnings?: string[]
  readonly annotations?: Annotation[]
  readonly own?: boolean
}

export interface Asked {
  readonly operation: Operation
  readonly target: Target
  readonly subresource: string
  readonly namespace: string
  readonly name: string
  readonly object: KubeObject | undefined
  readonly old: KubeObject | undefined
  readonly options?: Options | undefined
  readonly by: By
}

/** One request on its way through the plugins; `object` is what they have made of it. */
export class AdmissionRequest implements Attributes {
  readonly operation: Operation
  readonly subresource: string
  readonly namespace: string
  name: string
  object: KubeObject | undefined
  readonly old: KubeObject | undefined
  readonly options: Options | undefined
  reinvocation = false
  readonly #target: Target
  readonly #by: By

  constructor({ operation, target, subresource, namespace, name, object, old, options, by }: Asked) {
    this.operation = operation
    this.#target = target
    this.subresource = subresource
    this.namespace = namespace
    this.name = name
    this.object = object
    this.old = old
    this.options = options
    this.#by = by
  }
  get kind(): GroupVersionKind {
    return this.#target.kind
  }
  get resource(): GroupVersionResource {
    return this.#target.resource
  }
  get requestKind(): GroupVersionKind {
    return this.#target.requestKind
  }
  get requestResource(): GroupVersionResource {
    return this.#target.requestResource
  }
  get codec(): Codec | undefined {
    return this.#target.codec
  }
  get user(): UserInfo {
    return this.#by.user
  }
  get dryRun(): boolean {
    return this.#by.dryRun
  }
  get own(): boolean {
    return this.#by.own === true
  }
  warn(text: string): void {
    this.#by.warnings?.push(text)
  }
  annotate(...annotation: Annotation): void {
    this.#by.annotations?.push(annotation)
  }
}

export interface Admission {
  /** Afterwards `object` is what the plugins have made of it. Undefined when that was done at once. */
  mutate(request: AdmissionRequest): Promise<void> | undefined
  validate(request: AdmissionRequest): Promise<void> | undefined
}

export function newAdmission(plugins: readonly AdmissionPlugin[]): Admission {
  const mutating = plugins.filter(p => p.mutate)
  const validating = plugins.filter(p => p.validate)

  function mutate(r: AdmissionRequest, from: number, again: boolean): Promise<void> | undefined {
    let changed = again
    for (let i = from; i < mutating.length; i++) {
      const plugin = mutating[i]!
      const made = plugin.mutate!(r)
      if (made instanceof Promise)
        return made.then(object => {
          if (object) r.object = object
          return mutate(r, i + 1, changed || (object !== undefined && plugin.external === true))
        })
      if (!made) continue
      r.object = made
      changed ||= plugin.external === true
    }
    if (!changed || r.reinvocation) return undefined
    r.reinvocation = true
    return mutate(r, 0, false)
  }

  function validate(r: AdmissionRequest, from: number): Promise<void> | undefined {
    for (let i = from; i < validating.length; i++) {
      const pending = validating[i]!.validate!(r)
      if (pending) return pending.then(() => validate(r, i + 1))
    }
    return undefined
  }
  return { mutate: r => mutate(r, 0, false), validate: r => validate(r, 0) }
}

/** Puts a request to all plugins; the object that they let through. For what is no write of a stored object. */
export async function admit<T>(admission: Admission, asked: Asked): Promise<T> {
  const request = new AdmissionRequest(asked)
  const pending = admission.mutate(request)
  if (pending) await pending
  const judged = admission.validate(request)
  if (judged) await judged
  return request.object as T
}

/** Whether a request is about a main resource of that name. */
export const isAbout = (a: Attributes, group: string, resource: string): boolean =>
  a.subresource === '' && a.resource.resource === resource && a.resource.group === group

/** The failure that a refusal is, as upstream's admission.NewForbidden: a name that is still to be made is shown as its prefix. */
export function refused(a: Attributes, why: string): StatusError {
  const meta = a.object?.metadata
  return forbidden(a.resource, a.name || meta?.name || meta?.generateName || 'Unknown', why)
}

/** Several reasons as one text, each once (k8s.io/apimachinery/pkg/util/errors.Aggregate). */
export function aggregate(reasons: readonly string[]): string {
  const each = [...new Set(reasons)]
  return each.length === 1 ? each[0]! : `[${each.join(', ')}]`
}
