/** The OCI runtimes of a node: programs with runc's command line, each a handler that a RuntimeClass may name. */
import { run } from '#shared/linux/run.ts'
import { findBinary } from '../binaries.ts'

export interface RuntimeBinary {
  name: string
  path: string
  conmon: string
  /** Of util-linux. */
  unshare: string
  /** conmon can leave the log to the kernel to write out, so that no exit waits for the disk. */
  noSyncLog?: boolean
}

/** Those that are looked for, the preferred first. */
const known = ['runc', 'crun', 'youki', 'runsc'] as const
/** What pods without a RuntimeClass can have. runsc is asked for by name: it needs more of a machine than the others. */
const defaults = ['runc', 'crun', 'youki']

/**
 * Runtimes by handler. The default is under the empty name and `oci`, those of the PATH are under their own. `configured` are paths by
 * handler, and may replace them. Throws one line that says what is missing.
 */
export function findRuntimes(configured: Readonly<Record<string, string>> = {}): Map<string, RuntimeBinary> {
  const conmon = findBinary('conmon')
  const unshare = findBinary('unshare')
  const paths = new Map(known.flatMap(name => [[name as string, findBinary(name)] as const]).filter(([, path]) => path !== undefined))
  for (const [handler, path] of Object.entries(configured)) paths.set(handler, path)
  const first = [...paths.keys()].find(name => defaults.includes(name))
  if (first === undefined) throw new Error('neither runc nor crun is installed (Debian package runc)')
  if (conmon === undefined) throw new Error('conmon is not installed (Debian package conmon)')
  if (unshare === undefined) throw new Error('unshare is not installed (Debian package util-linux)')
  const made = new Map([...paths].map(([name, path]) => [name, { name, path: path!, conmon, unshare }]))
  return new Map([['', made.get(first)!], ['oci', made.get(first)!], ...made])
}

/** Generous: on a busy machine a program may wait long for its turn. */
const ANSWER_MS = 30_000

/** Rejects when one of the programs that make a container is not there, or does not answer. */
export async function checkPrograms({ path, conmon, unshare }: RuntimeBinary): Promise<void> {
  for (const program of [path, conmon, unshare]) await run(program, ['--version'], { timeoutMs: ANSWER_MS })
}
