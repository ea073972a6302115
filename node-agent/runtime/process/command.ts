/** From a container's spec to the command line and environment that its process gets in the node's own file system. */
import { existsSync } from 'node:fs'
import { isAbsolute, join, resolve } from 'node:path'
import { containerPath, findBinary } from '../binaries.ts'
import type { ImageConfig } from '../imageservice.ts'
import type { ContainerSpec } from '../runtime.ts'

/** A command line whose program and whose arguments that name the image's mounts are where those are on this node. */
export function imageCommand(image: ImageConfig, args: readonly string[]): string[] {
  const mounted = (path: string): string | undefined => {
    const mount = (image.mounts ?? []).find(m => m.source !== undefined && (path === m.destination || path.startsWith(`${m.destination}/`)))
    return mount && mount.source! + path.slice(mount.destination.length)
  }
  const layered = (path: string): string | undefined =>
    path.startsWith('/') ? (image.layers ?? []).map(layer => join(layer, path)).find(existsSync) : undefined
  return args.map((arg, n) => mounted(arg) ?? (n === 0 ? layered(arg) : undefined) ?? arg)
}

/** The container's environment: the image's programs come first in PATH, temporary files and the home stay below the root. */
export function processEnvironment(
  spec: ContainerSpec,
  root: string,
  mounts: Record<string, string>,
  own: Record<string, string>,
): Record<string, string> {
  const given = Object.fromEntries(spec.env.map(e => [e.slice(0, e.indexOf('=')), e.slice(e.indexOf('=') + 1)]))
  const directories = (given['PATH'] ?? containerPath.join(':')).split(':').filter(Boolean)
  const images = [join(root, 'image'), ...(spec.image.layers ?? [])].flatMap(of => directories.map(d => join(of, d))).filter(existsSync)
  return {
    ...(spec.tty ? { TERM: 'xterm' } : {}),
    HOME: root,
    TMPDIR: join(root, 'tmp'),
    HOSTNAME: spec.hostname,
    ...given,
    PATH: [...images, ...directories].join(':'),
    ...mounts,
    COXSWAIN_ROOT: root,
    ...own,
  }
}

/** The path of the program that a command line means. Throws what `failure` makes of an OCI runtime's words: `exec: "x": permission denied`. */
export function findProgram(name: string, env: Record<string, string>, cwd: string, failure: (why: string) => Error): string {
  const fail = (why: string): Error => failure(`exec: ${JSON.stringify(name)}: ${why}`)
  if (name.includes('/')) {
    const path = isAbsolute(name) ? name : resolve(cwd, name)
    if (!existsSync(path)) throw fail(`stat ${name}: no such file or directory`)
    if (findBinary(path, ['']) === undefined) throw fail('permission denied')
    return path
  }
  const found = name === '' ? undefined : findBinary(name, (env['PATH'] ?? '').split(':'))
  if (found === undefined) throw fail('executable file not found in $PATH')
  return found
}
