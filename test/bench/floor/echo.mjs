// The floor of the API over NATS: a responder that answers with as many bytes as it is asked for. Arguments: URL, credentials, subject.
import { readFileSync } from 'node:fs'
import { connect, credsAuthenticator } from 'nats'

const [servers, creds, subject] = process.argv.slice(2)
const nats = await connect({ servers, authenticator: credsAuthenticator(readFileSync(creds)), noAsyncTraces: true })
const bodies = new Map()
const bodyOf = n => bodies.get(n) ?? (bodies.set(n, Buffer.alloc(n, 'x')), bodies.get(n))
nats.subscribe(subject, { callback: (_, m) => m.respond(bodyOf(Number(m.headers?.get('Bytes') ?? 0))) })
await nats.flush()
process.stdout.write('ready\n')
