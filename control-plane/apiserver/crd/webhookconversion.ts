/** Strategy Webhook: somebody else converts (k8s.io/apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go). */
import { randomUUID } from 'node:crypto'
import * as z from 'zod'
import type { WebhookConversion } from '#shared/api/apiextensions/customresourcedefinition.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { validateAnnotations, validateLabels } from '#shared/api/meta/validation.ts'
import { Path } from '#shared/machinery/field.ts'
import { parseJson } from '#shared/machinery/int64.ts'
import { clone } from '#shared/machinery/jsonvalue.ts'
import { inTurn, type Maybe } from '#shared/machinery/maybe.ts'
import { StatusError } from '#shared/machinery/status.ts'
import type { Webhooks } from '../webhook/clients.ts'
import type { Converter } from './conversion.ts'
import type { ConversionMetrics, Failure } from './conversionmetrics.ts'

type Objects = readonly KubeObject[]

const group = 'apiextensions.k8s.io'
const knownVersions = ['v1', 'v1beta1']
/** Upstream's. */
const timeoutMs = 30_000
/** What is sent at once, but for a single object that is larger. */
const maxObjects = 500
const maxCharacters = 4 << 20
/** Of an answer. */
const maxBytes = 32 << 20

const review = z.looseObject({
  kind: z.string().default(''),
  apiVersion: z.string().default(''),
  response: z
    .looseObject({
      uid: z.string().default(''),
      convertedObjects: z.array(z.unknown()).nullish(),
      result: z.looseObject({ status: z.string().default(''), message: z.string().default('') }).default({ status: '', message: '' }),
    })
    .nullish(),
})

/** A conversion that failed, and as what it is counted. */
class Failed extends Error {
  readonly as: Failure
  constructor(message: string, as: Failure) {
    super(message)
    this.as = as
  }
}

/** Converts by the webhook of a definition. Its converter throws a StatusError 500 in upstream's words. */
export function webhookConverter(webhook: WebhookConversion, webhooks: Webhooks, metrics: ConversionMetrics): Converter {
  const { clientConfig = {}, conversionReviewVersions } = webhook

  async function convert(objects: readonly KubeObject[], desired: string): Promise<Objects> {
    const { kind = '', apiVersion = '' } = objects[0]!
    const start = performance.now()
    try {
      const converted = await ask(objects, desired, `conversion webhook for ${apiVersion}, Kind=${kind}`)
      metrics.observe(undefined, (performance.now() - start) / 1000)
      return converted
    } catch (e) {
      metrics.observe(e instanceof Failed ? e.as : 'conversion_webhook_call_failure', (performance.now() - start) / 1000)
      throw new StatusError(500, '', (e as Error).message)
    }
  }

  async function ask(objects: Objects, desired: string, who: string): Promise<Objects> {
    const version = conversionReviewVersions.find(v => knownVersions.includes(v))
    if (version === undefined) throw new Failed('no supported conversion review versions', 'conversion_webhook_call_failure')
    const uid = randomUUID()
    const question = { kind: 'ConversionReview', apiVersion: `${group}/${version}`, request: { uid, desiredAPIVersion: desired, objects } }
    let answer: z.output<typeof review>
    try {
      answer = readAnswer(await webhooks.call(clientConfig, JSON.stringify(question), { timeoutMs, maxBytes }))
    } catch (e) {
      throw new Failed(`${who} failed: ${(e as Error).message}`, 'conversion_webhook_call_failure')
    }
    const wrong = complaint(answer, uid, version)
    if (wrong !== undefined) throw new Failed(`${who} failed: ${wrong}`, 'conversion_webhook_malformed_response_failure')
    const converted = answer.response!.convertedObjects ?? []
    if (converted.length !== objects.length)
      throw new Failed(
        `${who} returned ${converted.length} objects, expected ${objects.length}`,
        'conversion_webhook_partial_response_failure',
      )
    const what = objects.length === 1 ? 'invalid object' : 'invalid converted object'
    return converted.map((object, i) => {
      const problem =
        typeof object === 'object' && object !== null ? checked(objects[i]!, object as KubeObject, desired) : 'it is no object'
      if (typeof problem !== 'string') return problem
      throw new Failed(`${who} returned ${what} at index ${i}: ${problem}`, 'conversion_webhook_invalid_converted_object_failure')
    })
  }

  return (objects, desired): Maybe<Objects> => {
    if (objects.length === 0) return objects
    const out: KubeObject[] = []
    const all = inTurn(batches(objects), async batch => void out.push(...(await convert(batch, desired))))
    return (all as Promise<void>).then(() => out)
  }
}

function* batches(objects: Objects): Generator<Objects> {
  let batch: KubeObject[] = []
  let size = 0
  for (const object of objects) {
    const length = objects.length === 1 ? 0 : JSON.stringify(object).length
    if (batch.length > 0 && (batch.length === maxObjects || size + length > maxCharacters)) {
      yield batch
      batch = []
      size = 0
    }
    batch.push(object)
    size += length
  }
  yield batch
}

function readAnswer(text: string): z.output<typeof review> {
  let value: unknown
  try {
    value = parseJson(text)
  } catch (e) {
    throw new Error(`couldn't get version/kind; json parse error: ${(e as Error).message}`)
  }
  const read = review.safeParse(value)
  if (read.success) return read.data
  const [issue] = read.error.issues
  throw new Error(`json: cannot unmarshal ConversionReview.${issue!.path.join('.')}: ${issue!.message}`)
}

/** What is wrong with an answer as a whole. */
function complaint({ kind, apiVersion, response }: z.output<typeof review>, uid: string, version: string): string | undefined {
  const expected = `${group}/v1, Kind=ConversionReview`
  if (version === 'v1' && `${apiVersion}, Kind=${kind}` !== expected)
    return `expected webhook response of ${expected}, got ${apiVersion || '/'}, Kind=${kind}`
  if (!response) return 'no response provided'
  if (version === 'v1' && response.uid !== uid) return `expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response.uid)}`
  const { status, message } = response.result
  if (status === 'Success') return undefined
  return message || `response.result.status was '${status}', not 'Success'`
}

/** The converted object, which keeps the metadata that it had but for labels and annotations; or what is wrong with it. */
function checked(before: KubeObject, after: KubeObject, desired: string): KubeObject | string {
  if (after.apiVersion !== desired) return `invalid groupVersion (expected ${desired}, received ${after.apiVersion ?? ''})`
  if (after.kind !== before.kind) return `invalid kind (expected ${before.kind}, received ${after.kind ?? ''})`
  const { metadata: was } = before
  const said: unknown = after.metadata
  if (said === undefined) return 'missing metadata in converted object'
  if (typeof said !== 'object' || said === null || Array.isArray(said)) return 'invalid metadata in converted object'
  const now = said as KubeObject['metadata']
  for (const [field, name] of [
    ['name', 'name'],
    ['namespace', 'namespace'],
    ['uid', 'UID'],
  ] as const)
    if ((now[field] ?? '') !== (was[field] ?? '')) return `must have the same ${name}: ${was[field] ?? ''} != ${now[field] ?? ''}`
  const metadata = clone(was)
  for (const field of ['labels', 'annotations'] as const) {
    const given: unknown = now[field]
    delete metadata[field]
    if (given === undefined || given === null) continue
    if (typeof given !== 'object' || Array.isArray(given)) return `invalid metadata.${field} in converted object`
    const wrong = Object.entries(given).find(([, value]) => typeof value !== 'string')
    if (wrong) return `metadata.${field}[${wrong[0]}] must be a string, but is ${typeof wrong[1]} in converted object`
    const at = new Path('metadata').child(field)
    const errors = (field === 'labels' ? validateLabels : validateAnnotations)(given as Record<string, string>, at)
    if (errors.length > 0) return errors.map(e => `${e.field}: ${e.message}`).join(', ')
    metadata[field] = given as Record<string, string>
  }
  const { kind, apiVersion, metadata: _, ...rest } = after
  return { kind, apiVersion, metadata, ...rest }
}
