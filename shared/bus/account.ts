/** What the system account is good for while the nats-servers run: an account's new JWT, and who is connected. */
import { connect, credsAuthenticator } from 'nats'
import * as z from 'zod'

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

const answersMs = 1_000
const connectionsSchema = z.object({
  data: z.object({
    connections: z.array(z.object({ name_tag: z.string().optional(), authorized_user: z.string().optional() })).default([]),
  }),
})

/** The public keys of the users of this name that are connected to any of the nats-servers, which vouch for the name. `creds` as above. */
export async function connectedKeys(url: string, creds: string, name: string): Promise<string[]> {
  const nats = await connect({
    servers: url,
    authenticator: credsAuthenticator(Buffer.from(creds)),
    timeout: deadlineMs,
    reconnect: false,
    tls: null,
  })
  try {
    const keys = new Set<string>()
    const question = JSON.stringify({ auth: true, limit: 100_000 })
    for await (const { data } of await nats.requestMany('$SYS.REQ.SERVER.PING.CONNZ', question, { maxWait: answersMs }))
      for (const c of connectionsSchema.parse(JSON.parse(Buffer.from(data).toString())).data.connections)
        if (c.name_tag === name && c.authorized_user) keys.add(c.authorized_user)
    return [...keys]
  } finally {
    await nats.close()
  }
}
