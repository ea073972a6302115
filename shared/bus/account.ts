/** Changes an account while the nats-server runs: its resolver takes a new JWT from the system account. */
import { connect, credsAuthenticator } from 'nats'

const deadlineMs = 5_000

/** `creds` are of the system account. Rejects when the server cannot be reached or does not take the JWT. */
export async function updateAccount(url: string, creds: string, accountJwt: string): Promise<void> {
  const nats = await connect({
    servers: url,
    authenticator: credsAuthenticator(Buffer.from(creds)),
    timeout: deadlineMs,
    reconnect: false,
    tls: null,
  })
  try {
    const { data } = await nats.request('$SYS.REQ.CLAIMS.UPDATE', Buffer.from(accountJwt), { timeout: deadlineMs })
    const answer = JSON.parse(Buffer.from(data).toString()) as { data?: { code?: number }; error?: { description?: string } }
    if (answer.data?.code !== 200)
      throw new Error(`the nats-server does not take the account: ${answer.error?.description ?? 'no reason given'}`)
  } finally {
    await nats.close()
  }
}
