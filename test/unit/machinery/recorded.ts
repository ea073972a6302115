/** What a real API server (1.20) answered to reads and patches of some kinds; times are filled in where the recording masks them. */
import { readFileSync } from 'node:fs'
import { resources } from '#shared/api/resources.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { apiVersion, type Resource } from '#shared/api/resource.ts'

export interface Recorded {
  id: string
  contentType?: string
  body?: unknown
  code: number
  answer: Record<string, unknown>
}

const text = readFileSync(new URL('recorded.ndjson', import.meta.url), 'utf8').replaceAll('<time>', '2026-01-01T00:00:00Z')
export const recorded: readonly Recorded[] = text
  .trimEnd()
  .split('\n')
  .map(line => JSON.parse(line) as Recorded)

const byId = new Map(recorded.map(r => [r.id, r]))

/** The stored object that the requests of a manifest were about. */
export const storedObject = (manifest: string): KubeObject => structuredClone(byId.get(`get/${manifest}`)!.answer) as unknown as KubeObject

export const resourceOf = (object: KubeObject): Resource =>
  resources.find(r => r.kind === object.kind && apiVersion(r) === object.apiVersion)!

export const pods = (): KubeObject[] => structuredClone(byId.get('watch/pods')!.answer) as unknown as KubeObject[]

/** Without what 1.35 no longer writes (null creation times of templates), and what the store and not the patch changes. */
export function comparable(object: unknown): unknown {
  return JSON.parse(JSON.stringify(object), (key, value: unknown) => {
    if (key === 'creationTimestamp' && value === null) return undefined
    return key === 'generation' || key === 'managedFields' ? undefined : value
  })
}
