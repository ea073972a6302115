/** The control group of a container of plain processes: as root on Linux, nothing that it starts can leave it. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { cgroupTrees } from '#shared/linux/cgroup.ts'
import { ensureCgroup } from '#shared/linux/cgroupresources.ts'

/** Makes the group. Resolves with undefined where that cannot be. */
export async function makeCgroup(path: string): Promise<string | undefined> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return undefined
  return await ensureCgroup(path).then(
    () => path,
    () => undefined,
  )
}

/** The command line that joins the group and becomes `args`. */
export async function inCgroup(cgroup: string | undefined, args: string[]): Promise<string[]> {
  if (cgroup === undefined) return args
  const files = (await cgroupTrees()).map(tree => join(tree, cgroup, 'cgroup.procs')).filter(existsSync)
  const join0 = 'while [ "$1" != -- ]; do echo 0 >"$1"; shift; done; shift; exec "$@"'
  return ['/bin/sh', '-c', join0, 'sh', ...files, '--', ...args]
}
