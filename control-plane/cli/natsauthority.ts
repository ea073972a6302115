/**
 * Which authority vouches for a nats-server, asked before anything is believed: a machine that joins knows it by the hash of its key alone.
 */
import { X509Certificate } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { connect as connectTls, type DetailedPeerCertificate } from 'node:tls'
import { natsServerName } from '#shared/bus/tls.ts'
import { hashOf } from './join.ts'

const deadlineMs = 10_000
/** A greeting is shorter. */
const maxGreeting = 64 * 1024

/** The first line that a nats-server sends. */
function greeting(socket: Socket): Promise<{ tls_available?: boolean; tls_required?: boolean }> {
  return new Promise((resolve, reject) => {
    let text = ''
    const onData = (data: Buffer): void => {
      text += data.toString('latin1')
      const end = text.indexOf('\r\n')
      if (end < 0 && text.length < maxGreeting) return
      socket.off('data', onData)
      if (!text.startsWith('INFO ') || end < 0) return reject(new Error('it is not a nats-server'))
      try {
        resolve(JSON.parse(text.slice(5, end)) as { tls_available?: boolean })
      } catch {
        reject(new Error('it is not a nats-server'))
      }
    }
    socket.on('data', onData)
    socket.once('close', () => reject(new Error('it closed the connection')))
  })
}

/** The certificates that the other side showed, its own first. */
function chainOf(leaf: DetailedPeerCertificate): X509Certificate[] {
  const chain: X509Certificate[] = []
  for (let at: DetailedPeerCertificate | undefined = leaf; at?.raw && chain.length < 10; at = at.issuerCertificate) {
    const cert = new X509Certificate(at.raw)
    if (chain.at(-1)?.fingerprint256 === cert.fingerprint256) break
    chain.push(cert)
  }
  return chain
}

/**
 * The authority's certificate in PEM, one of those that `hashes` name (`sha256:HEX` of their public keys), which the nats-server at `url`
 * showed. It is to be believed as far as the hashes are; whether it vouches for the server, a connection shows.
 */
export async function authorityBehind(url: string, hashes: readonly string[]): Promise<string> {
  const { hostname: host, port } = new URL(url)
  const socket = connect({ host, port: Number(port || 4222) })
  const late = new Promise<never>((_, reject) => {
    socket.setTimeout(deadlineMs, () => reject(new Error(`no answer within ${deadlineMs / 1000} s`)))
    socket.on('error', reject)
  })
  try {
    const info = await Promise.race([greeting(socket), late])
    if (!info.tls_available && !info.tls_required)
      throw new Error('it has no TLS: the cluster is not one that other machines join (--listen)')
    const chain = await Promise.race([
      late,
      new Promise<X509Certificate[]>((resolve, reject) => {
        const secure = connectTls({ socket, servername: natsServerName, rejectUnauthorized: false }, () =>
          resolve(chainOf(secure.getPeerCertificate(true))),
        )
        secure.once('error', reject)
      }),
    ])
    const found = chain.find(cert => hashes.includes(hashOf(cert.toString())))
    if (!found)
      throw new Error(`its authority is ${chain.map(c => hashOf(c.toString())).at(-1) ?? 'none'}, none of those that were asked for`)
    return found.toString()
  } catch (e) {
    throw new Error(`${url}: ${(e as Error).message}`, { cause: e })
  } finally {
    socket.destroy()
  }
}
