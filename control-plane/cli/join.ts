/**
 * How a machine that has nothing but a token gets a node's credentials: it learns the cluster's authority from cluster-info, which must be
 * signed with the token, and asks for a certificate and a NATS user.
 */
import { createHash, X509Certificate } from 'node:crypto'
import { request } from 'node:https'
import { rmSync } from 'node:fs'
import path from 'node:path'
import * as z from 'zod'
import { natsTransport } from '#shared/bus/api-client.ts'
import { connectBus } from '#shared/bus/connection.ts'
import { credsOf } from '#shared/bus/credentials.ts'
import type { Transport } from '#shared/bus/transport.ts'
import { logger } from '#shared/component/log.ts'
import { httpsTransport } from '#shared/client/https.ts'
import type { Client } from '#shared/client/client.ts'
import { newClient } from '#shared/client/rest.ts'
import { obtainNodeCredentials, type NodeCredentials } from '#shared/certificates/nodecredentials.ts'
import { detachedSignature } from '#shared/certificates/detachedsignature.ts'
import { yamlToJson } from '#shared/machinery/yaml.ts'
import { clusterInfo, parseBootstrapToken, signaturePrefix } from '#shared/machinery/bootstraptoken.ts'
import { readJoinConfig, type JoinConfig } from './joinconfig.ts'
import { writeAtomically } from './state.ts'
import { setTimeout as delay } from 'node:timers/promises'

const deadlineMs = 60_000
/** A token is signed with within moments after it was made: one with which nothing is signed for that long is none. */
const signedMs = 10_000
const maxBytes = 1024 * 1024
const infoSchema = z.object({ data: z.record(z.string(), z.string()) })
const kubeconfigSchema = z.looseObject({
  clusters: z.array(z.looseObject({ cluster: z.looseObject({ server: z.string(), 'certificate-authority-data': z.string() }) })).min(1),
})

/** The body of a GET, whoever answers: nothing is believed of it yet. */
function fetchUnverified(url: URL, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const req = request(url, { rejectUnauthorized: false, signal }, res => {
      const chunks: Buffer[] = []
      let size = 0
      res.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > maxBytes) res.destroy(new Error(`${url.href} answers with more than ${maxBytes} bytes`))
        else chunks.push(chunk)
      })
      res.on('error', reject)
      res.on('end', () =>
        res.statusCode === 200
          ? resolve(Buffer.concat(chunks).toString())
          : reject(new Error(`${url.href} answers with ${res.statusCode}`)),
      )
    })
    req.on('error', reject)
    req.end()
  })
}

export interface Joining {
  /** `https://host:port` of an API server. */
  readonly server: string
  readonly token: string
  /** `sha256:HEX` of authorities' public keys, of which the cluster's must be one: whom the token was stolen from could else pretend. */
  readonly caCertHashes: readonly string[]
}

/** The cluster's authority in PEM, vouched for by the token. Waits until cluster-info is signed with it. */
export async function discover({ server, token, caCertHashes }: Joining, signal: AbortSignal): Promise<string> {
  const parts = parseBootstrapToken(token)
  if (!parts) throw new Error('the token must be of the form abcdef.0123456789abcdef')
  const url = new URL(`/api/v1/namespaces/kube-public/configmaps/${clusterInfo}`, server)
  const until = performance.now() + signedMs
  for (;;) {
    const { data } = infoSchema.parse(JSON.parse(await fetchUnverified(url, signal)))
    const [text = '', signature] = [data['kubeconfig'], data[signaturePrefix + parts.id]]
    if (signature === undefined) {
      // The controller that signs may be on its way. The ConfigMap is all that a stranger may see: there is nothing to watch.
      if (performance.now() > until)
        throw new Error(
          `${clusterInfo} is not signed with this token: it is unknown, has expired, or no kube-controller-manager runs that signs`,
        )
      await delay(200, undefined, { signal })
      continue
    }
    if (signature !== (await detachedSignature(text, parts.id, parts.secret)))
      throw new Error(`the signature of ${clusterInfo} is not by this token: somebody pretends to be the cluster, or the token is wrong`)
    const ca = Buffer.from(
      kubeconfigSchema.parse(JSON.parse(yamlToJson(text).json)).clusters[0]!.cluster['certificate-authority-data'],
      'base64',
    ).toString()
    if (caCertHashes.length > 0 && !caCertHashes.includes(hashOf(ca)))
      throw new Error(`the cluster's authority is ${hashOf(ca)}, none of those that were asked for`)
    return ca
  }
}

/** As kubeadm names an authority: the hash of its public key. */
export function hashOf(ca: string): string {
  const key = new X509Certificate(ca).publicKey.export({ type: 'spki', format: 'der' })
  return `sha256:${createHash('sha256').update(key).digest('hex')}`
}

export interface JoiningByNats extends Joining {
  /** As the join command has it: a JWT, a dot, and its key. */
  readonly natsUser: string
  /** Where the cluster's authority is written, PEM, and the credentials to ask with. */
  readonly directory: string
}

/**
 * Does some work with a client that asks with the token, over nothing but NATS: `server` is one nats-server or several, with commas between
 * them. The authority must be one of those that were named.
 */
export async function askByNats<T>(
  { server, token, caCertHashes, natsUser, directory }: JoiningByNats,
  work: (client: Client, signal: AbortSignal) => Promise<T>,
): Promise<{ ca: string; found: T }> {
  if (!parseBootstrapToken(token)) throw new Error('the token must be of the form abcdef.0123456789abcdef')
  if (caCertHashes.length === 0) throw new Error('--ca-cert-hash is missing: without it anybody could pretend to be the cluster')
  const [, jwt, seed] = /^([\w-]+\.[\w-]+\.[\w-]+)\.(SU[A-Z2-7]+)$/.exec(natsUser) ?? []
  if (jwt === undefined || seed === undefined) throw new Error('--nats-user must be what `cox token create --print-join-command` printed')
  const signal = AbortSignal.timeout(deadlineMs)
  const ca = await authorityBehindAny(server.split(','), caCertHashes)
  const [caFile, credsFile] = ['ca.crt', 'bootstrap.creds'].map(name => path.join(directory, name)) as [string, string]
  writeAtomically(caFile, ca, 0o644)
  writeAtomically(credsFile, credsOf(jwt, seed))
  const bus = await connectBus({ url: server, credsFile, caFile, timeoutMs: deadlineMs, log: logger('cox') })
  try {
    const bearer = { authorization: `Bearer ${token}` }
    const transport = natsTransport(bus)
    const asking: Transport = {
      request: r => transport.request({ ...r, headers: { ...r.headers, ...bearer } }),
      close: () => transport.close(),
    }
    return { ca, found: await work(newClient(asking, { userAgent: 'cox' }), signal) }
  } finally {
    await bus.close()
    rmSync(credsFile, { force: true })
  }
}

/** As `join`, over nothing but NATS. What a machine has to know of the cluster comes along. */
export async function joinByNats(joining: JoiningByNats, node: string): Promise<NodeCredentials & { ca: string; config: JoinConfig }> {
  const { ca, found } = await askByNats(joining, async (client, signal) => ({
    config: await readJoinConfig(client),
    ...(await obtainNodeCredentials(client, node, { signal })),
  }))
  return { ca, ...found }
}

/** Of several nats-servers one may be away. */
async function authorityBehindAny(servers: readonly string[], hashes: readonly string[]): Promise<string> {
  const { authorityBehind } = await import('./natsauthority.ts')
  const answers = await Promise.allSettled(servers.map(url => authorityBehind(url, hashes)))
  const found = answers.find(a => a.status === 'fulfilled')
  if (found) return found.value
  throw answers.find(a => a.status === 'rejected')!.reason
}

/** Credentials of a node, and the cluster's authority. Rejects when that takes longer than a minute. */
export async function join(joining: Joining, node: string, seconds?: number): Promise<NodeCredentials & { ca: string }> {
  const signal = AbortSignal.timeout(deadlineMs)
  const ca = await discover(joining, signal)
  const transport = httpsTransport({ server: joining.server, ca, token: joining.token })
  try {
    const client = newClient(transport, { userAgent: 'cox' })
    return { ca, ...(await obtainNodeCredentials(client, node, { signal, ...(seconds === undefined ? {} : { seconds }) })) }
  } finally {
    await transport.close()
  }
}
