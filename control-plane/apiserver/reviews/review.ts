/** What all reviews share: a question that is posted, admitted and answered with itself; nothing is stored. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { apiVersion, type Resource } from '#shared/api/resource.ts'
import type { ObjectSchema } from '#shared/machinery/schema.ts'
import { structCodec } from '#shared/machinery/codec.ts'
import { applyDefaults } from '#shared/machinery/defaults.ts'
import { findErrors, invalid, Path, type FieldError } from '#shared/machinery/field.ts'
import { invalidObject } from '#shared/machinery/status.ts'
import { admit, type Admission } from '../admission/admission.ts'
import { targetOfKind, writeOptions } from '../admission/target.ts'
import type { RequestContext } from '../chain/chain.ts'
import { noSuchMethod } from '../chain/response.ts'
import { readBody } from '../objects/body.ts'
import { writeParameters } from '../objects/options.ts'
import type { Served } from '../surface.ts'
import { bodyAnswer, outputOf, writerOf } from '../verbs/context.ts'
import { alignNamespace } from '../verbs/create.ts'

/** The definition of a kind of review, as discovery shows it. */
export const reviewKind = (group: string, kind: string, schema: ObjectSchema, namespaced = false): Resource => ({
  group,
  version: 'v1',
  kind,
  plural: `${kind.toLowerCase()}s`,
  singular: kind.toLowerCase(),
  namespaced,
  schema,
  verbs: ['create'],
})

export interface Question<T> {
  /** Throws 422 when it breaks rules. */
  readonly validate?: (review: T, at: Path) => FieldError[]
  /** Fills in the status. */
  readonly answer: (review: T, ctx: RequestContext) => void | Promise<void>
}

/** Serves a kind of review. */
export function serveReview<T extends KubeObject>(resource: Resource, admission: Admission, question: Question<T>): Served {
  const expected = { apiVersion: apiVersion(resource), kind: resource.kind, codec: structCodec(resource.schema) }
  const target = targetOfKind(resource)
  return {
    resource,
    async answer(ctx) {
      const { verb, name, namespace, subresource } = ctx.info
      if (verb !== 'create' || name !== '' || subresource !== '' || resource.namespaced !== (namespace !== '')) throw noSuchMethod()
      const output = outputOf(ctx)
      const p = writeParameters(ctx.request.query, 'CreateOptions')
      const sent = readBody<T>(ctx, expected, p.fieldValidation)
      sent.metadata ??= {}
      applyDefaults(resource.schema, sent)
      if (resource.namespaced) alignNamespace(sent, namespace)
      const by = writerOf(ctx, p)
      const asked = { operation: 'CREATE', target, subresource: '', namespace, name: '', object: sent, old: undefined } as const
      const review = await admit<T>(admission, { ...asked, options: writeOptions('CREATE', p), by })
      const errors = findErrors(() => question.validate?.(review, new Path()) ?? [])
      if (errors.length > 0) throw invalidObject(resource.group, resource.kind, '', errors)
      await question.answer(review, ctx)
      return bodyAnswer(ctx, 201, { ...review, kind: resource.kind, apiVersion: expected.apiVersion }, output)
    },
  }
}

/** Nothing may be set in the metadata, but for the namespace of a kind that is in one. */
export function validateMetadata({ metadata }: KubeObject, namespaced: boolean): FieldError[] {
  const { managedFields: _managers, namespace, ...rest } = metadata
  const set = Object.values(rest).some(v => v !== undefined) || (!namespaced && namespace !== undefined)
  return set ? [invalid(new Path('metadata'), metadata, namespaced ? 'must be empty except for namespace' : 'must be empty')] : []
}
