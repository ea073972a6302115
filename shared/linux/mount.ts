/** Mounts of the mount namespace we live in. */
import { readFile } from 'node:fs/promises'
import { run } from './run.ts'

export const mount = (type: string, source: string, target: string, options: readonly string[] = []): Promise<string> =>
  run('mount', ['-t', type, ...(options.length > 0 ? ['-o', options.join(',')] : []), source, target])

/** Detaches what is mounted on these paths, deepest first; what is not a mount point is left alone. One process at most. */
export async function unmount(targets: readonly string[]): Promise<void> {
  const mounted = new Set((await listMounts()).map(m => m.target))
  const left = targets.filter(t => mounted.has(t)).sort((a, b) => b.length - a.length)
  if (left.length === 0) return
  try {
    await run('umount', ['-l', ...left])
  } catch (error) {
    // Somebody else may have been at it.
    const still = await listMounts()
    if (left.some(t => still.some(m => m.target === t))) throw error
  }
}

export interface Mount {
  target: string
  type: string
  source: string
}

/** Every mount of this namespace, in the order they were made; none where only other systems' mounts are. */
export async function listMounts(): Promise<Mount[]> {
  const text = process.platform === 'linux' ? await readFile('/proc/self/mountinfo', 'utf8') : ''
  return text.split('\n').flatMap(line => {
    const [before, after] = line.split(' - ')
    const target = before?.split(' ')[4]
    const [type, source] = after?.split(' ') ?? []
    return target === undefined || type === undefined ? [] : [{ target: unescapePath(target), type, source: unescapePath(source ?? '') }]
  })
}

/** The mount point that a path lies in. `path` must be a real one. */
export async function mountOf(path: string): Promise<string> {
  const above = (await listMounts()).map(m => m.target).filter(t => t === '/' || path === t || path.startsWith(`${t}/`))
  return above.reduce((best, target) => (target.length > best.length ? target : best), '/')
}

// The kernel writes space, tab, newline and backslash as \ooo.
const unescapePath = (text: string): string => text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)))
