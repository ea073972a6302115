/** What directories take of their file system, as `du` counts it: blocks in use, an inode once, nothing of what is mounted inside. */
import { execFile } from 'node:child_process'
import { commandPath } from '#shared/linux/run.ts'

export interface DiskUsage {
  usedBytes: number
  /** Absent where du cannot count them. */
  inodesUsed?: number
}

const timeoutMs = 60_000

/** The number before each path; files that vanish meanwhile make du fail, and its sums are as good as any. */
function du(flags: string, paths: readonly string[]): Promise<Map<string, number>> {
  return new Promise((resolve, reject) => {
    const options = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 16 << 20, env: { PATH: commandPath, LC_ALL: 'C' } } as const
    execFile('du', [...flags.split(' '), '--', ...paths], options, (error, stdout) => {
      if (error?.killed) return reject(new Error(`du: no answer within ${timeoutMs / 1000} s`))
      if (error?.code === 'ENOENT') return reject(error)
      const lines = stdout.split('\n').map(line => /^(\d+)\t(.*)$/s.exec(line))
      resolve(new Map(lines.flatMap(m => (m ? [[m[2]!, Number(m[1])] as const] : []))))
    })
  })
}

/** Paths that do not exist use nothing. One process (two on Linux) for all of them. */
export async function diskUsage(paths: readonly string[]): Promise<Map<string, DiskUsage>> {
  if (paths.length === 0) return new Map()
  const [kibibytes, inodes] = await Promise.all([
    du('-s -k -x', paths),
    process.platform === 'linux' ? du('-s -x --inodes', paths) : new Map<string, number>(),
  ])
  return new Map(
    paths.map(path => {
      const count = inodes.get(path) ?? (process.platform === 'linux' ? 0 : undefined)
      return [path, { usedBytes: (kibibytes.get(path) ?? 0) * 1024, ...(count === undefined ? {} : { inodesUsed: count }) }]
    }),
  )
}

export const sumUsage = (usages: readonly DiskUsage[]): DiskUsage => ({
  usedBytes: usages.reduce((n, u) => n + u.usedBytes, 0),
  inodesUsed: usages.reduce((n, u) => n + (u.inodesUsed ?? 0), 0),
})
