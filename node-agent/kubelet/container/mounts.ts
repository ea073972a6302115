/** What is mounted into a container: its volumes and the pod's own files. */
import { mkdir, open } from 'node:fs/promises'
import { dirname, join, posix } from 'node:path'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Container, VolumeMount } from '#shared/api/core/podspec/container.ts'
import type { EphemeralContainer } from '#shared/api/core/podspec/ephemeralcontainer.ts'
import { CreateContainerError, type ContainerMount } from '../../runtime/runtime.ts'
import { imageVolumeLock } from '../images/imagevolumes.ts'
import type { PodDirectory } from '../pod/directory.ts'
import { bindSubPath, resolveSubPath } from '../volumes/subpath.ts'
import { expand } from './expansion.ts'

const propagations: { [name: string]: ContainerMount['propagation'] } = {
  None: 'private',
  HostToContainer: 'rslave',
  Bidirectional: 'rshared',
}

/** Where a path of the pod's spec is in a container: absolute, never above its root, and written in one way. */
export const inContainer = (path: string): string => posix.resolve('/', path)

/** Throws in upstream's words where it is asked for and cannot be had. */
function isRecursive(m: VolumeMount, possible: boolean): boolean {
  const { recursiveReadOnly: asked = 'Disabled' } = m
  if (asked === 'Enabled' && !possible)
    throw new Error(
      `failed to resolve recursive read-only mode: recursive read-only mount is not supported by the runtime, volume ${JSON.stringify(m.name)}`,
    )
  return asked === 'Enabled' || (asked === 'IfPossible' && possible)
}

/**
 * `recursion`: the runtime can make mounts read-only with all that is mounted in them. Makes the container's termination log too. Throws
 * what becomes the message of CreateContainerConfigError, or a CreateContainerError.
 */
export async function containerMounts(
  pod: Pod,
  container: Container | EphemeralContainer,
  env: ReadonlyMap<string, string>,
  volumePath: (name: string) => string | undefined,
  directory: PodDirectory,
  terminationLog: string,
  recursion: boolean,
): Promise<ContainerMount[]> {
  const mounts: ContainerMount[] = []
  for (const [index, m] of (container.volumeMounts ?? []).entries()) {
    const path = volumePath(m.name)
    if (path === undefined) throw new Error(`cannot find volume "${m.name}" to mount into container "${container.name}"`)
    const subPath = m.subPathExpr ? expandSubPath(m.subPathExpr, env) : m.subPath
    const volume = pod.spec.volumes?.find(v => v.name === m.name)
    const source = subPath
      ? await placeOf(path, subPath, join(directory.subPaths, m.name, container.name, String(index)), !volume?.image).catch((e: Error) => {
          // Of an image it is the runtime's to find, upstream.
          if (volume?.image) throw new CreateContainerError(`failed to mount image volume: failed to ensure image subpath: ${e.message}`)
          throw new Error(`failed to prepare subPath for volumeMount "${m.name}" of container "${container.name}": ${e.message}`)
        })
      : path
    // Upstream mounts these read-only whatever the mount says.
    const alwaysReadOnly =
      volume?.configMap !== undefined ||
      volume?.secret !== undefined ||
      volume?.image !== undefined ||
      volume?.projected !== undefined ||
      volume?.downwardAPI !== undefined ||
      volume?.persistentVolumeClaim?.readOnly === true ||
      volume?.nfs?.readOnly === true
    const lock = volume?.image && (await imageVolumeLock(path))
    mounts.push({
      destination: inContainer(m.mountPath),
      source,
      readOnly: m.readOnly === true || alwaysReadOnly,
      propagation: propagations[m.mountPropagation ?? 'None'] ?? 'private',
      ...(volume?.image ? { noExec: true } : {}),
      ...(lock ? { lock } : {}),
      ...(isRecursive(m, recursion) ? { recursiveReadOnly: true } : {}),
    })
  }
  const own = (path: string, source: string, readOnly = false): void => {
    const destination = inContainer(path)
    if (!mounts.some(m => m.destination === destination)) mounts.push({ destination, source, readOnly, propagation: 'private' })
  }
  // The kubelet's is writable; the others are containerd's, and as the root is.
  const readOnlyRoot = container.securityContext?.readOnlyRootFilesystem ?? false
  own('/etc/hosts', directory.hosts)
  own('/etc/resolv.conf', directory.resolv, readOnlyRoot)
  own('/etc/hostname', directory.hostname, readOnlyRoot)
  if (container.terminationMessagePath) {
    await mkdir(dirname(terminationLog), { recursive: true })
    const file = await open(terminationLog, 'w')
    // Any user of the container may write it.
    await file.chmod(0o666)
    await file.close()
    own(container.terminationMessagePath, terminationLog)
  }
  // A parent is mounted before what is mounted inside of it.
  return mounts.sort((a, b) => a.destination.split('/').length - b.destination.split('/').length)
}

/** What stands for the subPath of a volume; `target` is where it is mounted when this process may mount. `make`: directories that are missing. */
async function placeOf(volumePath: string, subPath: string, target: string, make: boolean): Promise<string> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return await resolveSubPath(volumePath, subPath)
  await bindSubPath(volumePath, subPath, target, make)
  return target
}

function expandSubPath(expression: string, env: ReadonlyMap<string, string>): string {
  const missing = new Set<string>()
  const path = expand(expression, name => {
    if (!env.has(name)) missing.add(name)
    return env.get(name)
  })
  if (missing.size > 0) throw new Error(`missing value for "${[...missing][0]}"`)
  return path
}
