/** Directories of this node that are volumes of the cluster: made and removed when the local provisioner asks. */
import { chmod, mkdir, readdir, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { removeTree } from '#shared/linux/removetree.ts'
import { badRequest, StatusError } from '#shared/machinery/status.ts'

const nameForm = /^pvc-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export interface LocalVolumes {
  list(): Promise<string[]>
  /** Idempotent. `capacity` in bytes. Rejects with 507 when the disk is smaller. `enforced` says whether it cannot grow larger. */
  create(name: string, capacity: number): Promise<{ path: string; enforced: boolean; reason?: string }>
  /** Idempotent, also when it was interrupted. */
  remove(name: string): Promise<void>
}

export function localVolumes(rootDir: string): LocalVolumes {
  const root = join(rootDir, 'local-volumes')
  const place = (name: string): string => {
    if (!nameForm.test(name)) throw badRequest(`invalid volume name: ${JSON.stringify(name)}`)
    return join(root, name)
  }
  return {
    list: async () => (await readdir(root).catch(() => [])).filter(name => nameForm.test(name)),
    async create(name, capacity) {
      const path = place(name)
      if (!(Number.isFinite(capacity) && capacity >= 0)) throw badRequest('invalid capacity')
      await mkdir(root, { recursive: true, mode: 0o711 })
      const { blocks, bsize } = await statfs(root)
      if (capacity > blocks * bsize)
        throw new StatusError(507, 'InsufficientStorage', `the node's disk has ${blocks * bsize} bytes, ${capacity} are asked for`)
      await mkdir(path, { recursive: true })
      // Whoever a container runs as may write, as in an emptyDir. Not subject to the umask.
      await chmod(path, 0o777)
      return { path, enforced: false, reason: 'directories of this node have no quotas' }
    },
    remove: async name => removeTree(place(name)),
  }
}
