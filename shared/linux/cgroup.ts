/** Control groups, version 1 (one tree a controller) and 2 (one tree). Paths are absolute below the cgroup root: `/coxswain-a/node-1`. */
import { existsSync, readFileSync } from 'node:fs'
import { readFile, readdir, rmdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'

/** Where they are mounted. */
export const cgroupFs = { root: '/sys/fs/cgroup' }

export const isCgroup2 = (): boolean => existsSync(join(cgroupFs.root, 'cgroup.controllers'))

/** Whether the machine's control groups have a controller: cpu, memory, hugetlb, ... */
export const hasController = (name: string): boolean =>
  isCgroup2()
    ? readFileSync(join(cgroupFs.root, 'cgroup.controllers'), 'utf8').trim().split(' ').includes(name)
    : existsSync(join(cgroupFs.root, name))

/** The mounted trees: one for version 2, one a controller for version 1 (symlinks such as cpu,cpuacct count once). */
export async function cgroupTrees(): Promise<string[]> {
  const { root } = cgroupFs
  if (isCgroup2()) return [root]
  const entries = await readdir(root, { withFileTypes: true }).catch(() => [])
  return entries.filter(e => e.isDirectory()).map(e => join(root, e.name))
}

/** The directory that tells of `controller` (memory, cpu, cpuacct, pids, ...) for a cgroup. */
export const cgroupDirectory = (controller: string, path: string): string =>
  isCgroup2() ? join(cgroupFs.root, path) : join(cgroupFs.root, controller, path)

/** Every process in a cgroup or below it, in the PID namespace we live in. */
export async function cgroupProcesses(path: string): Promise<number[]> {
  const found = new Set<number>()
  const visit = async (directory: string): Promise<void> => {
    const text = await readFile(join(directory, 'cgroup.procs'), 'utf8').catch(() => '')
    for (const pid of text.split('\n')) if (Number(pid) > 0) found.add(Number(pid))
    for (const child of await directories(directory)) await visit(child)
  }
  // On version 1 the runtime joins every tree but, on some machines, the one without controllers.
  const trees = (await cgroupTrees()).filter(tree => existsSync(join(tree, path)))
  for (const tree of trees) await visit(join(tree, path))
  return [...found]
}

/** Kills every process in a cgroup and below, again until none is left or a second has passed. */
export async function killCgroup(path: string): Promise<void> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const pids = await cgroupProcesses(path)
    if (pids.length === 0) return
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // it went by itself
      }
    }
    // The kernel has no event for the end of a process that is not our child.
    await new Promise(resolve => setTimeout(resolve, 5 * (attempt + 1)))
  }
}

/** Removes a cgroup and what is below it in every tree. Idempotent; a cgroup that still holds processes stays. */
export async function removeCgroup(path: string): Promise<void> {
  const remove = async (directory: string): Promise<void> => {
    for (const child of await directories(directory)) await remove(child)
    await rmdir(directory).catch(() => {})
  }
  for (const tree of await cgroupTrees()) await remove(join(tree, path))
}

async function directories(directory: string): Promise<string[]> {
  // Each is a link to this one. Most have none, and to read dozens of files' names costs ten times as much.
  const links = await stat(directory).then(
    s => s.nlink,
    () => 0,
  )
  if (links === 0 || links === 2) return []
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => [])
  return entries.filter(e => e.isDirectory()).map(e => join(directory, basename(e.name)))
}
