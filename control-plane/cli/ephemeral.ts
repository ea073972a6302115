/** State directories of clusters that keep nothing: where they are made, and removing those whose supervisor was killed. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { isAlive, readRecord, supervisorProcess } from './process.ts'
import { addressesOf, readCluster, stateDir, type StateDir } from './state.ts'

/** A directory that has no supervisor on record yet may be about to get one, ms. */
const beginningMs = 30_000

/** The user's own; everybody may make directories where temporary files are. */
function parentOf(): string {
  const own = path.join(tmpdir(), `coxswain-${process.getuid?.() ?? 0}`)
  const parent = path.join(own, 'ephemeral')
  mkdirSync(parent, { recursive: true, mode: 0o700 })
  if (statSync(own).uid !== (process.getuid?.() ?? 0)) throw new Error(`${own} belongs to another user; remove it`)
  return parent
}

/** A new state directory. */
export const newEphemeral = (): StateDir => stateDir(mkdtempSync(path.join(parentOf(), 'cluster-')))

/** Whether a directory may be removed with everything in it: there is nothing yet. */
export const isUnused = (dir: StateDir): boolean => !existsSync(dir.root) || readdirSync(dir.root).length === 0

/** Stops what is left of a cluster, and removes it. */
export async function removeEphemeral(dir: StateDir): Promise<void> {
  const cluster = readCluster(dir)
  if (cluster) await (await import('./local-cluster.ts')).stopEverything(dir, addressesOf(cluster))
  rmSync(dir.root, { recursive: true, force: true })
}

/** Removes the clusters of this user that lost their supervisor. */
export async function sweepEphemeral(): Promise<void> {
  const parent = parentOf()
  await Promise.all(
    readdirSync(parent).map(async name => {
      const dir = stateDir(path.join(parent, name))
      const supervisor = readRecord(dir, supervisorProcess)
      if (isAlive(supervisor)) return
      // Others sweep too.
      const madeAt = statSync(dir.root, { throwIfNoEntry: false })?.mtimeMs
      if (madeAt === undefined || (!supervisor && Date.now() - madeAt < beginningMs)) return
      await removeEphemeral(dir)
    }),
  )
}
