/** What a pod asks for that containers of this runtime do not get. Pure; the kubelet tells of it in an event of the pod. */
import type { Pod } from '#shared/api/core/pod.ts'

export function unsupportedFields({ spec }: Pod): string[] {
  const of = (value: unknown, phrase: string): string[] => (value ? [phrase] : [])
  const shared = spec.securityContext ?? {}
  return [
    ...of(spec.hostUsers === false, 'hostUsers (users of its containers are those of the node)'),
    ...of(shared.seLinuxOptions, 'seLinuxOptions'),
    ...of(shared.appArmorProfile && shared.appArmorProfile.type !== 'Unconfined', 'appArmorProfile'),
    ...[...(spec.initContainers ?? []), ...spec.containers].flatMap(({ name, securityContext: own = {}, volumeDevices }) =>
      [
        ...of(own.seLinuxOptions, 'seLinuxOptions'),
        ...of(own.appArmorProfile && own.appArmorProfile.type !== 'Unconfined', 'appArmorProfile'),
        ...of(own.procMount === 'Unmasked', 'procMount'),
        ...of(volumeDevices?.length, 'volumeDevices'),
      ].map(field => `${field} of container ${name}`),
    ),
  ]
}
