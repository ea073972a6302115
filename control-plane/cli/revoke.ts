/** Ending NATS credentials before their time. */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { connectedKeys, updateAccount } from '#shared/bus/account.ts'
import { busAccount, mintCreds, registryAccount, systemIdentity, userClaims } from '#shared/bus/credentials.ts'
import { toToken } from '#shared/bus/subjects.ts'
import { authorityOf, revokedFile, revokedOf } from './files.ts'
import { writeAtomically, type StateDir } from './state.ts'

/**
 * Ends the NATS credentials of an identity, as they lie in `creds`, and those that it is connected with, as a node of another machine has
 * them alone: the nats-servers close its connections and take no new ones, now and after their next start. The identity can be given new
 * credentials.
 */
export async function revokeCreds(dir: StateDir, url: string, identity: string): Promise<void> {
  const authority = await authorityOf(dir)
  const file = path.join(dir.creds, `${identity}.creds`)
  const key = existsSync(file) ? userClaims(readFileSync(file, 'utf8'))?.sub : undefined
  const keys = new Set([
    ...(key === undefined ? [] : [key]),
    ...(await connectedKeys(url, await mintCreds(authority, systemIdentity), toToken(identity))),
  ])
  if (keys.size === 0)
    throw new Error(`${identity} is not connected, and ${file} is missing or damaged: it is not known which credentials it has`)
  await revokeKeys(dir, url, [...keys])
  rmSync(file, { force: true })
}

/** Ends NATS users by their public keys. `ofRegistry`: those of both accounts. */
export async function revokeKeys(dir: StateDir, url: string, keys: readonly string[], ofRegistry = false): Promise<void> {
  const authority = await authorityOf(dir)
  const now = Math.floor(Date.now() / 1000)
  const revoked = { ...revokedOf(dir), ...Object.fromEntries(keys.map(k => [k, now])) }
  writeAtomically(revokedFile(dir), JSON.stringify(revoked))
  const creds = await mintCreds(authority, systemIdentity)
  await updateAccount(url, creds, await busAccount(authority, revoked))
  if (ofRegistry) await updateAccount(url, creds, await registryAccount(authority, revoked))
}
