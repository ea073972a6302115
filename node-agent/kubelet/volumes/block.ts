/** Volumes that are devices: what containers name them by. */
import type { Container } from '#shared/api/core/podspec/container.ts'
import type { EphemeralContainer } from '#shared/api/core/podspec/ephemeralcontainer.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { ContainerSpec } from '../../runtime/runtime.ts'

/** Throws what becomes the message of CreateContainerConfigError. */
export function blockDevices(
  pod: Pod,
  container: Container | EphemeralContainer,
  pathOf: (volume: string) => string | undefined,
): NonNullable<ContainerSpec['devices']> {
  return (container.volumeDevices ?? []).map(({ name, devicePath }) => {
    const hostPath = pathOf(name)
    if (hostPath === undefined) throw new Error(`cannot find volume "${name}" to pass into container "${container.name}"`)
    const readOnly = pod.spec.volumes?.find(v => v.name === name)?.persistentVolumeClaim?.readOnly
    return { hostPath, containerPath: devicePath, permissions: readOnly ? 'r' : 'mrw' }
  })
}
