/** What the registry's tests share: objects to store, watchers that remember, waiting for a condition. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { logger } from '#shared/component/log.ts'
import { openRegistry, type RegistryOptions } from '#control-plane/apiserver/registry/jetstream.ts'
import type { Registry, RegistryEvent, Table, Watcher, WatchOptions } from '#control-plane/apiserver/registry/registry.ts'
import type { NatsFixture } from '../../fixtures/nats.ts'

export const pods: Table = { group: '', plural: 'pods' }
export const deployments: Table = { group: 'apps', plural: 'deployments' }

export const object = (name: string, data: unknown = 0, namespace = 'default'): KubeObject => ({
  kind: 'Pod',
  apiVersion: 'v1',
  metadata: { name, namespace },
  spec: { data },
})
export const dataOf = (o: KubeObject): unknown => (o['spec'] as { data: unknown }).data

export const silent = logger('test')
silent.level = process.env['LOG_LEVEL'] ?? 'silent'

export const open = async (nats: NatsFixture, options: Partial<RegistryOptions> = {}): Promise<Registry> =>
  openRegistry({ connection: await nats.connect('registry'), log: silent, ...options })

export interface Recording extends Watcher {
  readonly seen: RegistryEvent[]
  readonly batches: number[]
  progressed: number
  gone: boolean
  stop(): void
}
export function record(registry: Registry, table: Table, options: WatchOptions): Recording {
  const recording: Recording = {
    seen: [],
    batches: [],
    progressed: 0,
    gone: false,
    events: events => void (recording.seen.push(...events), recording.batches.push(events.length)),
    progress: version => void (recording.progressed = version),
    expired: () => void (recording.gone = true),
    stop: () => {},
  }
  recording.stop = registry.watch(table, options, recording)
  return recording
}

export async function until(condition: () => boolean | Promise<boolean>, what: string, timeoutMs = 15_000): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited too long: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}
