/** The containers of a pod's spec, of all three sorts. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { Container } from '#shared/api/core/podspec/container.ts'
import type { EphemeralContainer } from '#shared/api/core/podspec/ephemeralcontainer.ts'

export type ContainerType = 'init' | 'app' | 'ephemeral'
export interface TypedContainer {
  type: ContainerType
  container: Container | EphemeralContainer
}

/** An init container that runs beside the app containers. */
export const isSidecar = (c: { restartPolicy?: string | undefined }): boolean => c.restartPolicy === 'Always'
export const initContainers = (pod: Pod): Container[] => pod.spec.initContainers ?? []
export const ephemeralContainers = (pod: Pod): EphemeralContainer[] => pod.spec.ephemeralContainers ?? []

export const allContainers = (pod: Pod): TypedContainer[] => [
  ...initContainers(pod).map(container => ({ type: 'init' as const, container })),
  ...pod.spec.containers.map(container => ({ type: 'app' as const, container })),
  ...ephemeralContainers(pod).map(container => ({ type: 'ephemeral' as const, container })),
]
export const findContainer = (pod: Pod, name: string): TypedContainer | undefined => allContainers(pod).find(c => c.container.name === name)

/** Where an event about a container points: `spec.containers{name}`. */
export const fieldPath = ({ type, container }: TypedContainer): string =>
  `spec.${type === 'init' ? 'initContainers' : type === 'app' ? 'containers' : 'ephemeralContainers'}{${container.name}}`

/** `name_namespace(uid)`, as the kubelet names a pod in its messages. */
export const podText = (pod: Pod): string => `${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})`
export const uidOf = (pod: Pod): string => pod.metadata.uid ?? ''
