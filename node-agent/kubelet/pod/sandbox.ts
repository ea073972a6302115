/** A pod's sandbox: its directory, its network, its files. There is no process in it. */
import { mkdir } from 'node:fs/promises'
import type { Pod } from '#shared/api/core/pod.ts'
import type { PodContext } from '../context.ts'
import { allContainers, uidOf } from './containers.ts'
import { checkHostname, podHostname, writePodFiles } from './files.ts'
import { ensureNamespaces } from './namespaces.ts'
import { runtimeHandler } from './runtimehandler.ts'

/** Makes the sandbox, or finds it again after a restart of the kubelet. */
export async function ensureSandbox(ctx: PodContext): Promise<void> {
  const { pod, state, kubelet, directory } = ctx
  const { name = '', namespace = '' } = pod.metadata
  checkHostname(podHostname(pod, kubelet.nodeName, kubelet.names.domain).hostname)
  await Promise.all([mkdir(directory.containers, { recursive: true }), mkdir(directory.logs, { recursive: true })])
  const hostPorts = allContainers(pod).flatMap(({ container }) =>
    (container.ports ?? [])
      .filter(p => p.hostPort)
      .map(p => ({ hostIP: p.hostIP ?? '', hostPort: p.hostPort!, containerPort: p.containerPort, protocol: p.protocol ?? 'TCP' })),
  )
  const handler = await runtimeHandler(ctx)
  const namespaces = await ensureNamespaces(ctx, handler)
  const network = pod.spec.hostNetwork
    ? { ip: kubelet.nodeIP, ips: [...kubelet.nodeIPs], namespacePath: 'node' }
    : kubelet.network.setUp({
        uid: uidOf(pod),
        namespace,
        name,
        hostPorts,
        annotations: pod.metadata.annotations ?? {},
        ...(namespaces.user ? { userNamespace: namespaces.user.path } : {}),
        sysctls: Object.fromEntries((pod.spec.securityContext?.sysctls ?? []).map(s => [s.name, s.value])),
      })
  const [{ ip, ips = [ip], namespacePath }] = await Promise.all([network, kubelet.podCgroups?.ensure(ctx.allocatedPod())])
  if (!pod.spec.hostNetwork) await kubelet.networkPolicies?.enforce(pod, ips)
  const old = state.sandbox
  state.sandbox = {
    attempt: old ? (old.lost ? old.attempt + 1 : old.attempt) : 0,
    boot: kubelet.boot,
    ip,
    ...(ips.length > 1 ? { ips } : {}),
    networkNamespace: namespacePath,
    namespaces,
    ...(handler ? { handler } : {}),
  }
  if (!old) tellUnsupported(ctx, pod)
  for (const message of await writePodFiles(directory, pod, ips, kubelet.nodeName, kubelet.names))
    ctx.event('Warning', 'DNSConfigForming', message)
  ctx.save()
}

/** Tells of the fields of a pod that has a sandbox which cannot be honoured. */
export function tellUnsupported(ctx: PodContext, pod: Pod): void {
  const { runtime, network } = ctx.kubelet
  const handler = ctx.state.sandbox?.handler ?? ''
  const unsupported = [...(runtime.unsupported?.(pod, handler) ?? []), ...(network.unsupported?.(pod) ?? [])]
  if (unsupported.length > 0) ctx.event('Warning', 'FieldsNotHonored', `This node cannot honor: ${unsupported.join('; ')}`)
}
