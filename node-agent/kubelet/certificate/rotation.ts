/**
 * Renews the node's credentials before they end, its certificate and its NATS user together, as a kubelet rotates its client certificate
 * (k8s.io/client-go/util/certificate). Those that never end, which the cluster's owner made, are left alone.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { userClaims } from '#shared/bus/credentials.ts'
import { obtainNodeCredentials } from '#shared/certificates/nodecredentials.ts'
import { backoff, sleep } from '#shared/client/backoff.ts'
import type { Client } from '#shared/client/client.ts'
import type { Logger } from '#shared/component/log.ts'
import { clientCertificate, failedRenewals } from '../metrics.ts'

export interface Rotation {
  readonly node: string
  /** Of the NATS user; the connection reads it again when the server ends it with the old one. */
  readonly credsFile: string
  /** Certificate and key in one file, as a kubelet keeps them. */
  readonly certificateFile: string
}

/** Upstream's: after 70 to 90 % of the life. `random` is from 0 to 1; times in seconds since 1970. */
export const renewAt = (issued: number, expires: number, random: number): number => issued + (expires - issued) * (0.7 + 0.2 * random)

/** One request for new credentials takes this long at most. */
const obtainMs = 300_000
/** setTimeout cannot wait for more than 24 days. */
const longestSleepMs = 24 * 3600_000

async function writeDurably(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  await writeFile(`${file}.new`, text, { mode: 0o600, flush: true })
  await rename(`${file}.new`, file)
}

/** Works until `signal` aborts; ends at once for credentials that never end. */
export async function keepCredentials(client: Client, r: Rotation, log: Logger, signal: AbortSignal): Promise<void> {
  const pause = backoff(1_000, 60_000)
  while (!signal.aborted) {
    const claims = userClaims(await readFile(r.credsFile, 'utf8'))
    if (claims?.exp === undefined) return
    clientCertificate.endsAt = claims.exp * 1000
    const due = renewAt(claims.iat ?? 0, claims.exp, Math.random()) * 1000
    for (let left = due - Date.now(); left > 0 && !signal.aborted; left = due - Date.now())
      await sleep(Math.min(left, longestSleepMs), signal)
    if (signal.aborted) return
    try {
      const { cert, key, creds } = await obtainNodeCredentials(client, r.node, {
        signal: AbortSignal.any([signal, AbortSignal.timeout(obtainMs)]),
      })
      await writeDurably(r.certificateFile, cert + key)
      await writeDurably(r.credsFile, creds)
      pause.reset()
      log.info({ node: r.node, until: new Date((userClaims(creds)?.exp ?? 0) * 1000).toISOString() }, 'renewed the credentials of the node')
    } catch (e) {
      failedRenewals.add({})
      log.warn({ node: r.node, err: (e as Error).message }, 'the credentials of the node could not be renewed; will try again')
      await sleep(pause.next(), signal)
    }
  }
}
