/** get: one object, the newest unless the client is content with an older one. */
import type { Answer } from '../chain/response.ts'
import { StatusError, badRequest, notFound } from '#shared/machinery/status.ts'
import type { Registry, Stored } from '../registry/registry.ts'
import { boolParameter, parseVersion } from '../objects/options.ts'
import { objectAnswer, outputOfObjects, type Call } from './context.ts'

/** Waits until the cache shows at least what the client asks for: nothing (`0`), a version, or by default everything acknowledged. */
export async function settle(registry: Registry, resourceVersion: string, signal?: AbortSignal): Promise<void> {
  if (resourceVersion === '') return registry.fresh(signal)
  const version = parseVersion(resourceVersion)
  if (version === 0 || registry.version >= version) return
  try {
    await registry.reached(version)
  } catch {
    throw new StatusError(504, 'Timeout', `Timeout: Too large resource version: ${version}, current: ${registry.version}`, {
      causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
      retryAfterSeconds: 1,
    })
  }
}

/** Throws 400 for `export`, whose answer would be the whole object where the client wants it without what is particular to the cluster. */
export async function getObject(call: Call): Promise<Answer> {
  const { query } = call.request
  if (boolParameter(query, 'export')) throw badRequest('the export parameter, deprecated since v1.14, is no longer supported')
  const output = outputOfObjects(call)
  return objectAnswer(call, 200, await find(call, query.get('resourceVersion') ?? ''), output)
}

/** The object that the path names. Throws 404. */
export async function find(call: Call, resourceVersion = ''): Promise<Stored> {
  const { info, endpoint } = call
  const { registry } = call.store
  await settle(registry, resourceVersion, undefined)
  const stored = registry.get(endpoint.table, info.namespace, info.name)
  if (!stored) throw notFound(endpoint.groupResource, info.name)
  return stored
}
