import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { Client } from '#shared/client/client.ts'
import { isAlreadyExists } from '#shared/machinery/status.ts'

/** Makes an object unless there is one of its name. */
export async function ensure<T>(
  client: Client,
  kind: Kind<T>,
  namespace: string,
  object: { metadata: { name: string }; [field: string]: unknown },
): Promise<void> {
  try {
    await client.create<KubeObject>(kind as Kind, namespace, object as unknown as KubeObject)
  } catch (e) {
    if (!isAlreadyExists(e)) throw e
  }
}
