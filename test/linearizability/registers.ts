/**
 * Clients that use ConfigMaps as registers: they read, list, create, replace and delete them, each change a compare-and-swap by
 * resourceVersion.
 */
import { randomInt } from 'node:crypto'
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import { configMaps } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { StatusError } from '#shared/machinery/status.ts'
import type { Action } from './check.ts'
import type { History } from './history.ts'

/** What a client has seen last of a register: what it swaps from. */
interface Known {
  value: string | null
  version: string
}
const nothing: Known = { value: null, version: '' }
const knownOf = (object: ConfigMap | undefined): Known =>
  object ? { value: object.data?.['value'] ?? '', version: object.metadata.resourceVersion ?? '' } : nothing

/** An answer that says no for certain, and did nothing. What failed in another way may have happened, or may happen yet. */
const refused = (failure: unknown): boolean => failure instanceof StatusError && (failure.code === 404 || failure.code === 409)

/** Works on the registers until `signal` aborts, each time by any of the ways. `name` is unique and begins the values that it writes. */
export async function useRegisters(
  name: string,
  ways: Readonly<Record<string, Client>>,
  namespace: string,
  registers: readonly string[],
  history: History,
  signal: AbortSignal,
): Promise<void> {
  const known = new Map<string, Known>()
  const wayNames = Object.keys(ways)
  let count = 0
  const object = (register: string, value: string, version = ''): ConfigMap =>
    ({ metadata: { name: register, namespace, ...(version ? { resourceVersion: version } : {}) }, data: { value } }) as unknown as ConfigMap

  async function read(by: string, client: Client, register: string): Promise<void> {
    await history.record(
      by,
      () => client.get(configMaps, namespace, register),
      (answer, failure) => {
        if (!answer && !refused(failure)) return []
        known.set(register, knownOf(answer))
        return [[register, { kind: 'read', value: knownOf(answer).value }]]
      },
    )
  }
  async function list(by: string, client: Client): Promise<void> {
    await history.record(
      by,
      () => client.list(configMaps, namespace),
      answer =>
        answer
          ? registers.map((register): [string, Action] => [
              register,
              { kind: 'read', value: knownOf(answer.items.find(i => i.metadata.name === register)).value },
            ])
          : [],
    )
  }
  async function swap(by: string, client: Client, register: string, { value: from, version }: Known): Promise<void> {
    const remove = from !== null && randomInt(10) === 0
    const to = remove ? null : `${name}.${++count}`
    const request = async (): Promise<ConfigMap | undefined> => {
      if (to === null) return void (await client.delete(configMaps, namespace, register, { preconditions: { resourceVersion: version } }))
      return from === null
        ? client.create(configMaps, namespace, object(register, to))
        : client.update(configMaps, object(register, to, version))
    }
    known.delete(register)
    await history.record(by, request, (answer, failure) => {
      if (failure === undefined) known.set(register, to === null ? nothing : knownOf(answer))
      return [[register, { kind: 'cas', from, to, outcome: failure === undefined ? 'done' : refused(failure) ? 'refused' : 'unknown' }]]
    })
  }

  while (!signal.aborted) {
    const way = wayNames[randomInt(wayNames.length)]!
    const [by, client] = [`${name} by ${way}`, ways[way]!]
    const register = registers[randomInt(registers.length)]!
    const last = known.get(register)
    const dice = randomInt(10)
    if (dice === 0) await list(by, client)
    else if (!last || dice < 4) await read(by, client, register)
    else await swap(by, client, register, last)
    // What one server has just done is asked of another at once, or a little later.
    await new Promise(resolve => setTimeout(resolve, Math.max(0, randomInt(40) - 30)))
  }
}
