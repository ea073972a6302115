/**
 * The definition of one API resource: its names, its schema, how it prints, its defaults and its rules. Everything that the
 * API server does with a kind (discovery, decoding, OpenAPI, tables, strategies) is derived from it.
 */
import type { UserInfo } from '../bus/transport.ts'
import type { FieldError, Path } from '../machinery/field.ts'
import type { ObjectSchema } from '../machinery/schema.ts'
import type { StructuralSchema } from '../machinery/structural/schema.ts'
import type { KubeObject } from './meta/objectmeta.ts'

/** The names of a kind: all that a client needs to reach it, without its schema. */
export interface Kind<T = KubeObject> {
  /** `''` for the core group. */
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly plural: string
  readonly namespaced: boolean
  /** Carries T for the client's type inference; never set. */
  readonly type?: T
}

export type Verb = 'create' | 'delete' | 'deletecollection' | 'get' | 'list' | 'patch' | 'update' | 'watch'

/** One column of `kubectl get`; `wide` columns show with `-o wide` only. */
export interface Column<T> {
  readonly name: string
  readonly type: 'string' | 'integer' | 'number' | 'date' | 'boolean'
  /** Upstream's format hint: `name` marks the name column. */
  readonly format?: string
  readonly wide?: boolean
  /** In place of `wide`: 0 shows always, more with `-o wide`. */
  readonly priority?: number
  readonly doc?: string
  /** The cell; an age column returns the timestamp's age text. Null when there is nothing to show. */
  readonly cell: (object: T) => string | number | bigint | boolean | null
}

/** What a write of an object is about, beside the object itself. */
export interface WriteContext {
  /** `''` for the main resource, else `status`, `scale`, `ephemeralcontainers`, `resize`, ... */
  readonly subresource: string
  readonly dryRun: boolean
  /** Who writes. */
  readonly user?: UserInfo
  /** What the writer is told besides the answer. */
  readonly warnings?: string[]
}

export interface Subresource {
  /** Body kind when it is not the resource's own kind: `Scale`, `Binding`, `Eviction`. */
  readonly kind?: string
  readonly group?: string
  readonly version?: string
  readonly verbs: readonly ('get' | 'update' | 'patch' | 'create' | 'delete' | 'connect')[]
}

/**
 * Whole objects, kind and apiVersion set, in another form; the same number in the same order. Must not change what it is given. Gives a
 * promise when somebody else converts.
 */
export type Convert<From, To> = (objects: readonly From[]) => readonly To[] | Promise<readonly To[]>

/**
 * One group/version of a kind. All are equals: what is common to them (storage, rules, defaults between fields) works on the hub form,
 * which is that of the resource's own version.
 */
export interface Version<T = any> {
  /** The resource's when absent (Event is also in events.k8s.io). */
  readonly group?: string
  readonly version: string
  readonly schema: ObjectSchema
  /** Of custom kinds: the rules in place of the schema's, which then only names the type. */
  readonly structural?: StructuralSchema
  /** Absent in the version that is the hub form itself. */
  readonly conversion?: { readonly toHub: Convert<KubeObject, T>; readonly fromHub: Convert<T, KubeObject> }
  /** Defaults of this version that look at other fields, set before conversion. */
  readonly defaults?: (object: KubeObject) => void
  /** Columns over the objects of this version; those of the resource, over the hub form, when absent. */
  readonly columns?: readonly Column<any>[]
  /** Field selectors over the objects of this version; those of the resource, over the hub form, when absent. */
  readonly fields?: { readonly [path: string]: (object: any) => string } // any: as for columns
  /** Warns every client that uses this version. */
  readonly deprecated?: string
  /** The resource as this version has it, where its subresources are others. */
  readonly resource?: Resource
}

/** A conversion of one object at a time. */
export const convertEach =
  <From, To>(convert: (object: From) => To): Convert<From, To> =>
  objects =>
    objects.map(convert)

/** A field as path elements of managedFields: `['f:metadata', 'f:labels']`. */
export type FieldPath = readonly string[]

/** What is particular about the deletion of a kind; kinds without one are gone at once unless a finalizer keeps them. */
export interface Deletion<T> {
  /**
   * Seconds that a graceful deletion takes, given the object and what the client asked for (undefined: nothing). Absent: no grace, whatever
   * the client asks for.
   */
  readonly grace?: (object: T, asked: number | undefined) => number
  /**
   * Deletion in steps: `begin` marks the object (which is a copy), and it stays until nothing is `pending`, however many finalizers its
   * metadata has.
   */
  readonly steps?: { readonly begin: (object: T) => void; readonly pending: (object: T) => boolean }
  /** A deletion that is done answers with the object instead of a Status, as the kind's storage does upstream. */
  readonly answersWithObject?: boolean
  /**
   * Dependents stay unless the client says what becomes of them, as it was before there was a collector; a text warns clients that say
   * nothing.
   */
  readonly orphansDependents?: true | string
  /** Nothing is ever done about dependents, whatever the client says: upstream's policy Unsupported (Event). */
  readonly withoutDependents?: true
}

// T is `any` in collections of resources: the functions below are contravariant in it, and each is only ever handed objects
// of its own kind.
export interface Resource<T = any> extends Kind<T> {
  readonly schema: ObjectSchema
  /** Of custom kinds: the rules in place of the schema's, which then only names the type. */
  readonly structural?: StructuralSchema
  /** Of custom kinds: a digest of all that describes them, so that one can tell whether it is another without looking at it. */
  readonly digest?: string
  readonly singular: string
  /** KINDList when absent. */
  readonly listKind?: string
  readonly shortNames?: readonly string[]
  readonly categories?: readonly string[]
  /** Defaults to all eight. */
  readonly verbs?: readonly Verb[]
  /** What discovery shows of them, in order, when that is not all of them sorted. */
  readonly shownVerbs?: readonly Verb[]
  /** Why no object of it may be made for now, by whatever verb: a custom kind that is being deleted. */
  readonly refusesCreate?: string
  /** The versions that it is served in; only its own when absent. What is written is stored in the resource's own, the hub form. */
  readonly versions?: readonly Version<T>[]
  /** Versions that it is not served in, but that objects may be stored in, the hub form's among them. */
  readonly formerVersions?: readonly Version<T>[]
  /** Objects that were stored before this version followed another schema: they are pruned and defaulted when they are read. */
  readonly schemaSince?: number
  readonly subresources?: { readonly [name: string]: Subresource }
  /** Warns every client that uses the resource's own version that it is deprecated, since when and what to use instead. */
  readonly deprecated?: string
  /**
   * All columns in upstream's order, Name and Age included (some kinds have wide columns after Age, Event has its own order). Absent: Name
   * and Age.
   */
  readonly columns?: readonly Column<T>[]
  /** Field selectors beside metadata.name and metadata.namespace; the value is always a string. */
  readonly fields?: { readonly [path: string]: (object: T) => string }
  /** Fields that pods etc. are watched by so often that the watch cache indexes them. */
  readonly indexed?: readonly string[]
  /** Seconds after which objects expire (Event). */
  readonly ttlSeconds?: number
  /** With `ttlSeconds`: of more objects than that the ones go that were not written for longest. */
  readonly maxObjects?: number
  readonly deletion?: Deletion<T>
  /** `metadata.generation` moves when anything but metadata and status changes. */
  readonly hasGeneration?: boolean
  /** Writes to the main resource leave `status` alone, and writes to `status` everything but status (and metadata's managedFields). */
  readonly hasStatus?: boolean
  /** Objects come with a status of their maker, which create keeps (a kubelet registers its node with one); else it is emptied. */
  readonly keepsStatusOnCreate?: boolean
  /** What a write to `status` leaves as it was of the metadata, too (`metadata`: all of it); nothing when absent. */
  readonly statusKeeps?: 'metadata' | 'labels'
  /** What a write to `status` leaves to other managers, as upstream's GetResetFields says; `spec` when absent. */
  readonly statusResetFields?: readonly FieldPath[]
  /** Checks `metadata.name`; returns what is wrong, in upstream's words. DNS subdomain unless given. `prefix` is set for generateName. */
  readonly validateName?: (name: string, prefix: boolean) => string[]
  /** Sets defaults that depend on other fields; static ones come from the schema before. Mutates the object. */
  readonly defaults?: (object: T) => void
  /** Defaults that need the name, which may be generated after all others are set. */
  readonly nameDefaults?: (object: T) => void
  /** Clears or sets what the server owns before validation, on create. Mutates. */
  readonly prepareForCreate?: (object: T, ctx: WriteContext) => void
  /** The same on update; `old` must not be changed. Status and spec are already kept apart (`hasStatus`). */
  readonly prepareForUpdate?: (object: T, old: T, ctx: WriteContext) => void
  /** All broken rules of a new object; metadata is checked by the caller. */
  readonly validate?: (object: T, at: Path) => FieldError[]
  /** The broken rules that only a new object must follow, in addition to `validate`. */
  readonly validateCreate?: (object: T, at: Path) => FieldError[]
  /** All broken rules of a change, in addition to `validate` of the new object. Called for subresources too. */
  readonly validateUpdate?: (object: T, old: T, at: Path, ctx: WriteContext) => FieldError[]
  /** What clients are told about a valid object, though it is taken: as a new one, or as a change of `old` through the main resource. */
  readonly warnings?: (object: T, old: T | undefined) => string[]
  /** The scale subresource's paths. */
  readonly scale?: {
    /** Undefined when the object does not say how many. */
    readonly replicas: (o: T) => number | undefined
    readonly status: (o: T) => number
    readonly selector: (o: T) => string
    readonly set: (o: T, replicas: number) => void
    /** The name of the first, for errors; `.spec.replicas` when absent. */
    readonly path?: string
  }
  /** Updates without a resourceVersion are accepted (last write wins), as upstream's AllowUnconditionalUpdate. Default true. */
  readonly allowUnconditionalUpdate?: boolean
  /** PUT of an absent object creates it, as upstream's AllowCreateOnUpdate (Lease, Event, Endpoints...). Default false. */
  readonly allowCreateOnUpdate?: boolean
}

/** `apps/v1`, or `v1` for the core group. */
export const apiVersion = (k: Pick<Kind, 'group' | 'version'>): string => (k.group ? `${k.group}/${k.version}` : k.version)

export const listKindOf = ({ kind, listKind }: Pick<Resource, 'kind' | 'listKind'>): string => listKind ?? `${kind}List`

/** Declares a resource; only there so that `T` checks the functions. */
export const resource = <T>(definition: Resource<T>): Resource<T> => definition

/** Everything that a resource is served as. */
export const versionsOf = (r: Resource): readonly (Version & { readonly group: string })[] =>
  (r.versions ?? [{ version: r.version, schema: r.schema, ...(r.structural ? { structural: r.structural } : {}) }]).map(v => ({
    ...v,
    group: v.group ?? r.group,
  }))

/** The resource as it is in one of its versions. */
export const resourceIn = (r: Resource, version: Version): Resource => version.resource ?? r
