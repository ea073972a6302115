/** Ending NATS credentials before their time. */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { updateAccount } from '#shared/bus/account.ts'
import { busAccount, mintCreds, systemIdentity, userClaims } from '#shared/bus/credentials.ts'
import { authorityOf, revokedFile, revokedOf } from './files.ts'
import { writeAtomically, type StateDir } from './state.ts'

/**
 * Ends the NATS credentials of an identity, as they lie in `creds`: the nats-server closes its connections and takes no new ones, now and
 * after its next start. The identity can be given new credentials.
 */
export async function revokeCreds(dir: StateDir, url: string, identity: string): Promise<void> {
  const authority = await authorityOf(dir)
  const file = path.join(dir.creds, `${identity}.creds`)
  const key = existsSync(file) ? userClaims(readFileSync(file, 'utf8'))?.sub : undefined
  if (key === undefined) throw new Error(`${file} is missing or damaged: it is not known which credentials ${identity} has`)
  const revoked = { ...revokedOf(dir), [key]: Math.floor(Date.now() / 1000) }
  writeAtomically(revokedFile(dir), JSON.stringify(revoked))
  await updateAccount(url, await mintCreds(authority, systemIdentity), await busAccount(authority, revoked))
  rmSync(file, { force: true })
}
