/** What the system account is good for while the nats-servers run: an account's new JWT, and who is connected. */
import { connect, credsAuthenticator, type NatsConnection } from 'nats'
import * as z from 'zod'

const deadlineMs = 5_000
const answersMs = 1_000

/** Does the work with a connection of the system account, whose credentials `creds` are. */
async function asSystem<T>(url: string, creds: string, work: (nats: NatsConnection) => Promise<T>): Promise<T> {
  const authenticator = credsAuthenticator(Buffer.from(creds))
  const nats = await connect({ servers: url, authenticator, timeout: deadlineMs, reconnect: false, tls: null })
  try {
    return await work(nats)
  } finally {
    await nats.close()
  }
}

/** `creds` are of the system account. Rejects when the server cannot be reached or does not take the JWT. */
export const updateAccount = (url: string, creds: string, accountJwt: string): Promise<void> =>
  asSystem(url, creds, async nats => {
    const { data } = await nats.request('$SYS.REQ.CLAIMS.UPDATE', Buffer.from(accountJwt), { timeout: deadlineMs })
    const answer = JSON.parse(Buffer.from(data).toString()) as { data?: { code?: number }; error?: { description?: string } }
    if (answer.data?.code !== 200)
      throw new Error(`the nats-server does not take the account: ${answer.error?.description ?? 'no reason given'}`)
  })

const connectionsSchema = z.object({
  data: z.object({
    connections: z.array(z.object({ name_tag: z.string().optional(), authorized_user: z.string().optional() })).default([]),
  }),
})

/** The public keys of the users of this name that are connected to any of the nats-servers, which vouch for the name. `creds` as above. */
export const connectedKeys = (url: string, creds: string, name: string): Promise<string[]> =>
  asSystem(url, creds, async nats => {
    const keys = new Set<string>()
    const question = JSON.stringify({ auth: true, limit: 100_000 })
    for await (const { data } of await nats.requestMany('$SYS.REQ.SERVER.PING.CONNZ', question, { maxWait: answersMs }))
      for (const c of connectionsSchema.parse(JSON.parse(Buffer.from(data).toString())).data.connections)
        if (c.name_tag === name && c.authorized_user) keys.add(c.authorized_user)
    return [...keys]
  })
