/** What CDI devices give a container, as the runtime takes it. */
import type { ContainerMount, ContainerSpec } from '../../runtime/runtime.ts'
import type { ContainerEdits } from '../cdi/spec.ts'

/** The same place is taken by what came last. */
const last = <T>(list: readonly T[], place: (item: T) => string): T[] => [...new Map(list.map(i => [place(i), i])).values()]

/** `pathOf` finds what drivers call `/var/lib/kubelet/...`. */
export function withEdits(spec: ContainerSpec, edits: ContainerEdits, pathOf: (path: string) => string): ContainerSpec {
  const names = new Set(edits.env.map(e => e.split('=')[0]))
  const mounts = edits.mounts.map(({ hostPath, containerPath, options, type }): ContainerMount => ({
    destination: containerPath,
    ...(type === 'tmpfs' ? {} : { source: pathOf(hostPath) }),
    readOnly: options.includes('ro'),
    ...(options.includes('noexec') ? { noExec: true } : {}),
    propagation: options.includes('rslave') ? 'rslave' : options.includes('rshared') ? 'rshared' : 'private',
  }))
  const devices = edits.deviceNodes.map(({ path, hostPath, permissions, type, ...more }) => ({
    hostPath: hostPath ?? path,
    containerPath: path,
    permissions: permissions || 'rwm',
    ...(type === 'b' || type === 'c' || type === 'u' ? { type: type === 'b' ? ('b' as const) : ('c' as const) } : {}),
    ...more,
  }))
  return {
    ...spec,
    // As container engines have it: a device's variables replace those of the pod.
    env: [...spec.env.filter(e => !names.has(e.split('=')[0])), ...last(edits.env, e => e.split('=')[0]!)],
    mounts: last([...spec.mounts, ...mounts], m => m.destination),
    ...(devices.length > 0 ? { devices: last([...(spec.devices ?? []), ...devices], d => d.containerPath) } : {}),
    ...(edits.hooks.length > 0 ? { hooks: edits.hooks } : {}),
    user: { ...spec.user, supplementalGroups: [...new Set([...spec.user.supplementalGroups, ...edits.additionalGids])] },
  }
}
