/** The handler of the container runtime that a pod's RuntimeClass names. https://kubernetes.io/docs/concepts/containers/runtime-class/ */
import { runtimeClasses } from '#shared/api/kinds.ts'
import type { RuntimeClass } from '#shared/api/node/runtimeclass.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import type { PodContext } from '../context.ts'

/** Empty for the default. Rejects in upstream's and containerd's words when there is no such class, or the node has no such handler. */
export async function runtimeHandler({ pod, kubelet }: PodContext): Promise<string> {
  const name = pod.spec.runtimeClassName
  if (!name) return ''
  let found: RuntimeClass
  try {
    // A class of a moment ago may not have come yet.
    found = kubelet.runtimeClasses.get('', name) ?? (await kubelet.client.get<RuntimeClass>(runtimeClasses, '', name))
  } catch (e) {
    if (isNotFound(e)) throw new Error(`runtimeclass.node.k8s.io ${JSON.stringify(name)} not found`, { cause: e })
    throw new Error(`failed to lookup RuntimeClass ${name}: ${(e as Error).message}`, { cause: e })
  }
  const handler = found.handler ?? ''
  if (!kubelet.runtime.handlers.has(handler))
    throw new Error(
      `rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for ${JSON.stringify(handler)} is configured`,
    )
  return handler
}
