/**
 * Requests to a real API server (v1.20.2) and its answers: reading them, and the objects they were made with.
 * Masks in answers: `<uid>`, `<rv>`, `<time>`, `<ip>`, `<port>`. In requests `<stored>` stands for the stored object's value at that place.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'

export interface RecordedRequest {
  method: string
  path: string
  headers?: Record<string, string>
  body?: unknown
}
export interface Recording {
  /** `mutate/svc/spec.ports/delete`: what was done, to which manifest, where. */
  id: string
  request: RecordedRequest
  response: { code: number; body: unknown }
}

/** Those of every file of this directory, each of which holds some kinds. */
export const recordings = (): Recording[] =>
  readdirSync(new URL('.', import.meta.url))
    .filter(file => file.endsWith('.ndjson.gz'))
    .sort()
    .flatMap(file =>
      gunzipSync(readFileSync(new URL(file, import.meta.url)))
        .toString()
        .trim()
        .split('\n'),
    )
    .map(line => JSON.parse(line) as Recording)

/** The manifest that a case is about: `svc` of `mutate/svc/...`; '' for other requests. */
export const manifestOf = (id: string): string =>
  id.startsWith('request/') || id.startsWith('strategic-list/') ? '' : (id.split('/')[1] ?? '')

/** Each manifest's name with its POST path and the manifest itself, in the order in which the objects were made. */
export function manifests(all: readonly Recording[]): { name: string; path: string; manifest: Record<string, unknown> }[] {
  const names = [...new Set(all.map(r => manifestOf(r.id)))].filter(Boolean)
  return names.map(name => {
    const posts = all.filter(r => r.request.method === 'POST' && manifestOf(r.id) === name)
    const exact = posts.find(r => r.id === `create/${name}` || r.id === `create-exists/${name}`)
    const path = (exact ?? posts[0]!).request.path.replace('?dryRun=All', '')
    return { name, path, manifest: (exact ? exact.request.body : vote(posts.map(r => r.request.body))) as Record<string, unknown> }
  })
}

/** What most of the values agree on, place by place: each mutation changed one place of the same manifest. */
function vote(values: readonly unknown[]): unknown {
  const counts = new Map<string, unknown[]>()
  for (const v of values) {
    const shape = Array.isArray(v) ? `list of ${v.length}` : typeof v === 'object' && v !== null ? 'object' : JSON.stringify(v)
    counts.set(shape, [...(counts.get(shape) ?? []), v])
  }
  const winners = [...counts.values()].sort((a, b) => b.length - a.length)[0] ?? []
  const first = winners[0]
  if (Array.isArray(first)) return first.map((_, i) => vote((winners as unknown[][]).map(w => w[i])))
  if (typeof first !== 'object' || first === null) return first
  const objects = winners as Record<string, unknown>[]
  const keys = [...new Set(objects.flatMap(o => Object.keys(o)))].filter(k => objects.filter(o => k in o).length > objects.length / 2)
  return Object.fromEntries(keys.map(k => [k, vote(objects.filter(o => k in o).map(o => o[k]))]))
}

/** A request's body with `<stored>` and `<uid>` filled in from the object as it is stored now. */
export function fillIn(body: unknown, stored: unknown): unknown {
  const uid = (stored as { metadata?: { uid?: string } } | undefined)?.metadata?.uid ?? ''
  const fill = (value: unknown, here: unknown): unknown => {
    if (typeof value === 'string') {
      if (value === '<stored>') return here
      return value.replace('<stored>', String(here)).replace('<uid>', uid)
    }
    if (Array.isArray(value)) return value.map((v, i) => fill(v, Array.isArray(here) ? here[i] : undefined))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, fill(v, (here as Record<string, unknown> | undefined)?.[k])]))
  }
  return fill(body, stored)
}
