/** What a pod asks for that containers of this runtime do not get. Pure; the kubelet tells of it in an event of the pod. */
import type { Pod } from '#shared/api/core/pod.ts'
import { isHugePages } from '#shared/api/core/resourcenames.ts'

/**
 * Where the kernel enforces no AppArmor, pods that ask for it are not admitted at all. `hugetlb`: control groups keep containers within their
 * limits of huge pages.
 */
export function unsupportedFields({ spec }: Pod, { hugetlb }: { hugetlb: boolean } = { hugetlb: true }): string[] {
  const of = (value: unknown, phrase: string): string[] => (value ? [phrase] : [])
  const shared = spec.securityContext ?? {}
  const appArmor = 'appArmorProfile RuntimeDefault (the node has no profile of its own)'
  const hugePages = ({ resources }: { resources?: Pod['spec']['resources'] }): string[] =>
    hugetlb ? [] : Object.keys(resources?.limits ?? {}).flatMap(name => of(isHugePages(name), `limits.${name}`))
  return [
    ...hugePages(spec),
    ...of(shared.seLinuxOptions, 'seLinuxOptions'),
    ...of(shared.appArmorProfile?.type === 'RuntimeDefault', appArmor),
    ...[...(spec.initContainers ?? []), ...spec.containers].flatMap(({ name, resources, securityContext: own = {} }) =>
      [
        ...hugePages({ resources }),
        ...of(own.seLinuxOptions, 'seLinuxOptions'),
        ...of(own.appArmorProfile?.type === 'RuntimeDefault', appArmor),
      ].map(field => `${field} of container ${name}`),
    ),
  ]
}
