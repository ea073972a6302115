/** Writes marked config maps while the cluster is under chaos, so that each acknowledgement can be held against the history. */
import type { Client } from '#shared/client/client.ts'
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import { sleep } from '#shared/client/backoff.ts'
import { configMaps, namespaces } from '#shared/api/kinds.ts'
import { isNotFound, StatusError } from '#shared/machinery/status.ts'
import { chaosNamespace, markKey } from './observe.ts'
import type { Recorder } from './recorder.ts'

/** Objects that are written side by side, and the pause of each between two writes, ms. */
const objects = 4
const pauseMs = 200

/** Makes the namespace of the marked objects; one that a former run left behind is used again. */
export async function makeNamespace(client: Client): Promise<void> {
  try {
    await client.create(namespaces, '', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: chaosNamespace } } as never)
  } catch (e) {
    if (!(e instanceof StatusError && e.status.reason === 'AlreadyExists')) throw e
  }
}

/** Writes until `signal` aborts; resolves when the last answer is there. Marks of different runs differ by `run`. */
export async function write(client: Client, recorder: Recorder, run: string, signal: AbortSignal): Promise<void> {
  await Promise.all(Array.from({ length: objects }, (_, n) => writeObject(client, recorder, `register-${n}`, `${run}-${n}`, signal)))
}

async function writeObject(client: Client, recorder: Recorder, name: string, run: string, signal: AbortSignal): Promise<void> {
  /** What the last read showed. */
  let known: ConfigMap | undefined
  const read = async (): Promise<void> => {
    const began = recorder.now()
    known = await client.get<ConfigMap>(configMaps, chaosNamespace, name).catch((e: unknown) => {
      if (isNotFound(e)) return undefined
      throw e
    })
    const mark = known?.data?.[markKey]
    recorder.record({
      type: 'read',
      object: name,
      began,
      ...(known ? { version: Number(known.metadata.resourceVersion) } : {}),
      ...(mark === undefined ? {} : { mark }),
    })
  }
  for (let count = 0; !signal.aborted; count++) {
    try {
      await read()
    } catch {
      await sleep(pauseMs, signal)
      continue
    }
    const mark = `${run}-${count}`
    const began = recorder.now()
    const deletes = known !== undefined && count % 10 === 9
    const done = (outcome: 'acknowledged' | 'refused' | 'unknown', written?: ConfigMap): void =>
      recorder.record({
        type: 'write',
        object: name,
        outcome,
        began,
        ...(deletes ? {} : { mark }),
        ...(written ? { version: Number(written.metadata.resourceVersion) } : {}),
      })
    try {
      // Every way to write: create, update at a version, patch of whatever there is, delete of a version.
      if (!known)
        done(
          'acknowledged',
          await client.create<ConfigMap>(configMaps, chaosNamespace, {
            apiVersion: 'v1',
            kind: 'ConfigMap',
            metadata: { name },
            data: { [markKey]: mark },
          }),
        )
      else if (deletes) {
        await client.delete(configMaps, chaosNamespace, name, { preconditions: { resourceVersion: known.metadata.resourceVersion ?? '' } })
        done('acknowledged')
      } else if (count % 2) done('acknowledged', await client.update<ConfigMap>(configMaps, { ...known, data: { [markKey]: mark } }))
      else done('acknowledged', await client.patch<ConfigMap>(configMaps, chaosNamespace, name, 'merge', { data: { [markKey]: mark } }))
    } catch (e) {
      // An answer below 500 says that nothing was done; no answer says nothing.
      done(
        (e instanceof StatusError && e.status.code < 500) || (e as NodeJS.ErrnoException).code === 'ECONNREFUSED' ? 'refused' : 'unknown',
      )
    }
    await sleep(pauseMs, signal)
  }
}
