/** Content negotiation: which form the answer takes and what the body of a request is. */
import { lookUp } from '#shared/machinery/jsonvalue.ts'
import { StatusError } from '#shared/machinery/status.ts'

/** How an answer is written. `as` asks for another view of the objects. */
export interface Output {
  readonly format: 'json' | 'yaml' | 'protobuf'
  readonly as: '' | 'Table' | 'PartialObjectMetadata' | 'PartialObjectMetadataList' | 'APIGroupDiscoveryList'
  /** The version of the view: `v1`, `v1beta1`, `v2`. */
  readonly version: string
}

const plain: Output = { format: 'json', as: '', version: '' }
const acceptedWithoutProtobuf = 'application/json, application/yaml'
const accepted = `${acceptedWithoutProtobuf}, application/vnd.kubernetes.protobuf`
export const notAcceptable = (): StatusError =>
  new StatusError(406, 'NotAcceptable', `only the following media types are accepted: ${accepted}`)
/** What upstream's router says when no part of the header is a type it knows. */
const routerNotAcceptable = (): StatusError => new StatusError(406, 'NotAcceptable', '406: Not Acceptable', {})

interface Clause {
  type: string
  params: Map<string, string>
  quality: number
}

function parseAccept(header: string): Clause[] {
  const clauses: Clause[] = []
  for (const text of header.split(',')) {
    const [type = '', ...rest] = text.split(';').map(s => s.trim())
    if (type === '') continue
    const params = new Map<string, string>()
    for (const p of rest) {
      const at = p.indexOf('=')
      if (at > 0) params.set(p.slice(0, at).trim().toLowerCase(), p.slice(at + 1).trim())
    }
    const quality = Number(params.get('q') ?? 1)
    clauses.push({ type: type.toLowerCase(), params, quality: Number.isFinite(quality) ? quality : 0 })
  }
  // A stable sort: of equal quality the first one written wins.
  return clauses.sort((a, b) => b.quality - a.quality)
}

const formats: Readonly<Record<string, Output['format']>> = {
  'application/json': 'json',
  'application/*': 'json',
  '*/*': 'json',
  'application/yaml': 'yaml',
}
const protobuf = 'application/vnd.kubernetes.protobuf'
// Known to upstream's router, so that asking for nothing else is answered by the second text.
const otherTypes = new Set([protobuf, 'application/cbor', 'application/json;stream=watch'])

/**
 * What is answered with: objects, which can be protobuf as their views can; objects of which only views can (custom kinds); objects without
 * columns, so that no Table is made of them (reviews); or documents.
 */
export type Answered = 'objects' | 'custom' | 'reviews' | 'documents'

function choose(header: string, what: Answered): Output {
  let known = false
  for (const clause of parseAccept(header)) {
    const as = clause.params.get('as')
    const format = clause.type === protobuf ? (canBe(what, as) ? 'protobuf' : undefined) : lookUp(formats, clause.type)
    if (!format) {
      known ||= otherTypes.has(clause.type)
      continue
    }
    known = true
    if (as === undefined) return { format, as: '', version: '' }
    const version = clause.params.get('v') ?? ''
    const group = clause.params.get('g') ?? ''
    const view = (as === 'Table' && what !== 'reviews') || as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList'
    if (view && group === 'meta.k8s.io' && (version === 'v1' || version === 'v1beta1')) return { format, as, version }
    if (group === 'apidiscovery.k8s.io' && (version === 'v2' || version === 'v2beta1') && as === 'APIGroupDiscoveryList')
      return { format, as, version }
  }
  throw known ? notAcceptable() : routerNotAcceptable()
}

// Clients send one of a few headers; parsing each once is enough.
const caches: Readonly<Record<Answered, Map<string, Output>>> = {
  objects: new Map(),
  custom: new Map(),
  reviews: new Map(),
  documents: new Map(),
}

const canBe = (what: Answered, as: string | undefined): boolean =>
  as !== 'Table' && what !== 'documents' && (what !== 'custom' || as !== undefined)

/** Chooses the form of the answer. Throws 406. */
export function negotiateOutput(accept: string | undefined, what: Answered = 'documents'): Output {
  if (accept === undefined || accept === 'application/json' || accept === '*/*' || accept === '') return plain
  const cache = caches[what]
  let output = cache.get(accept)
  if (!output) {
    output = choose(accept, what)
    if (cache.size < 1000) cache.set(accept, output)
  }
  return output
}

/** The bare media type of a Content-Type header, lower case; `''` when there is none. */
export function mediaType(contentType: string | undefined): string {
  if (contentType === undefined) return ''
  const at = contentType.indexOf(';')
  return (at < 0 ? contentType : contentType.slice(0, at)).trim().toLowerCase()
}

/** The format of an object's body; absent means JSON. `protobuf` is whether the kind has that form. Throws 415. */
export function inputFormat(contentType: string | undefined, protobufToo = true): 'json' | 'yaml' | 'protobuf' {
  const type = mediaType(contentType)
  if (type === '' || type === 'application/json' || type === '*/*') return 'json'
  if (type === 'application/yaml' || type === 'application/x-yaml' || type === 'text/yaml') return 'yaml'
  if (protobufToo && type === protobuf) return 'protobuf'
  throw new StatusError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${protobufToo ? accepted : acceptedWithoutProtobuf}`,
  )
}
