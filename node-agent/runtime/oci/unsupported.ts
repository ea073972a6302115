/** What a pod asks for that containers of this runtime do not get. Pure; the kubelet tells of it in an event of the pod. */
import type { Pod } from '#shared/api/core/pod.ts'

/** Where the kernel enforces no AppArmor, pods that ask for it are not admitted at all. */
export function unsupportedFields({ spec }: Pod): string[] {
  const of = (value: unknown, phrase: string): string[] => (value ? [phrase] : [])
  const shared = spec.securityContext ?? {}
  const appArmor = 'appArmorProfile RuntimeDefault (the node has no profile of its own)'
  return [
    ...of(shared.seLinuxOptions, 'seLinuxOptions'),
    ...of(shared.appArmorProfile?.type === 'RuntimeDefault', appArmor),
    ...[...(spec.initContainers ?? []), ...spec.containers].flatMap(({ name, securityContext: own = {} }) =>
      [...of(own.seLinuxOptions, 'seLinuxOptions'), ...of(own.appArmorProfile?.type === 'RuntimeDefault', appArmor)].map(
        field => `${field} of container ${name}`,
      ),
    ),
  ]
}
