/**
 * One repository of a registry, by the distribution API: manifests and blobs from the first server that has them, mirrors before the
 * registry itself. https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pull
 */
import { createHash } from 'node:crypto'
import { setTimeout as after } from 'node:timers/promises'
import type { RegistryCredentials } from '../runtime/imageservice.ts'
import type { Descriptor } from '../runtime/images/descriptor.ts'
import type { ImageReference } from '../runtime/images/reference.ts'
import { AuthorizationError, newAuthorizer, type Authorizer } from './authorize.ts'
import type { Endpoint, Registries } from './registries.ts'
import { readBody, RequestError, shown, type Answer, type Transport } from './transport.ts'

export interface Repository {
  /** What a tag or digest stands for now: one HEAD, mostly. Rejects with NotFoundError, AuthorizationError, StatusError, RequestError. */
  resolve(): Promise<Descriptor>
  /** A manifest, verified. */
  manifest(descriptor: Pick<Descriptor, 'digest'>): Promise<Buffer>
  /**
   * A blob's bytes from `offset` on; connections that break are taken up again. Nothing is verified but that it is not longer than told.
   */
  blob(descriptor: Pick<Descriptor, 'digest' | 'size'>, offset: number): AsyncIterable<Buffer>
}

export class NotFoundError extends Error {}
/** An answer that is none of those expected. */
export class StatusError extends Error {
  readonly status: number
  constructor(message: string, status: number) {
    super(message)
    this.status = status
  }
}

export const manifestTypes = [
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.oci.image.index.v1+json',
]
/** Bytes; the specification asks registries to take manifests of this size. */
export const maxManifestBytes = 4 << 20
/** A download that has brought nothing for so long, over all attempts, is ended. */
const noProgressMs = 60_000
const attempts = 5
const firstPauseMs = 500
const longestPauseMs = 30_000

interface Server {
  endpoint: Endpoint
  path: string
  authorizer: Authorizer
}

/** `credentials` are for the registry itself, not for its mirrors. */
export function openRepository(options: {
  reference: ImageReference
  registries: Registries
  transport: Transport
  credentials?: RegistryCredentials | undefined
  signal: AbortSignal
}): Repository {
  const { reference, registries, transport, credentials, signal } = options
  const servers: Server[] = registries.endpoints(reference.registry).map(endpoint => {
    const path = endpoint.rewrite(reference.path)
    const known = (endpoint.mirrorOf === undefined ? credentials : undefined) ?? endpoint.credentials
    return { endpoint, path, authorizer: newAuthorizer(transport, endpoint.base, path, known) }
  })

  /** One request with what its server wants to see. Any status. */
  async function send(server: Server, method: 'GET' | 'HEAD', rest: string, headers: { [name: string]: string }): Promise<Answer> {
    const { endpoint, path, authorizer } = server
    const url = new URL(`${path}/${rest}`, endpoint.base)
    // By it a mirror of several registries knows whose repository is meant, as containerd tells it.
    if (endpoint.mirrorOf !== undefined) url.searchParams.set('ns', endpoint.mirrorOf)
    for (let round = 0; ; round++) {
      const used = authorizer.header()
      const answer = await transport.send({
        method,
        url,
        headers: { 'user-agent': 'coxswain', ...headers, ...(used === undefined ? {} : { authorization: used }) },
        signal,
      })
      if (answer.status !== 401) authorizer.accepted(used)
      else if (round < 3 && (await authorizer.answer(answer, used, signal))) continue
      if (answer.status === 200 || answer.status === 206) return answer
      answer.body.destroy()
      if (answer.status === 404) throw new NotFoundError('not found')
      const status = `${answer.status} ${answer.body.statusMessage ?? ''}`.trim()
      const error = new StatusError(`unexpected status from ${method} request to ${shown(url)}: ${status}`, answer.status)
      throw Object.assign(error, { retryAfterMs: retryAfterMs(answer.headers['retry-after']) })
    }
  }

  /** Tries again what may pass. */
  async function patiently<T>(server: Server, work: () => Promise<T>): Promise<T> {
    // Behind a mirror there is another.
    const most = server.endpoint.mirrorOf === undefined ? attempts : 2
    for (let n = 1; ; n++) {
      try {
        return await work()
      } catch (error) {
        if (signal.aborted || n >= most || !isPassing(error)) throw error
        await pause(n, error, signal)
      }
    }
  }

  /** From the first server that has it; `found` then comes first. */
  async function fromAny<T>(work: (server: Server) => Promise<T>): Promise<T> {
    const failures: { server: Server; error: Error }[] = []
    for (const server of [...servers]) {
      try {
        const result = await work(server)
        servers.sort((a, b) => Number(b === server) - Number(a === server))
        return result
      } catch (error) {
        if (signal.aborted) throw error
        failures.push({ server, error: error as Error })
      }
    }
    // The registry's own word counts; of its mirrors, what was more than that they do not have it.
    const own = (failures.find(f => f.server.endpoint.mirrorOf === undefined) ?? failures.at(-1))!
    const others = failures.filter(f => f !== own && !(f.error instanceof NotFoundError))
    if (others.length > 0)
      own.error.message += ` (mirrors: ${others.map(({ server, error }) => `${server.endpoint.base.host}: ${error.message}`).join('; ')})`
    throw own.error
  }

  const getManifest = (server: Server, name: string): Promise<{ bytes: Buffer; mediaType: string }> =>
    patiently(server, async () => {
      const answer = await send(server, 'GET', `manifests/${name}`, { accept: [...manifestTypes, '*/*'].join(', ') })
      const bytes = await readBody(answer, maxManifestBytes)
      return { bytes, mediaType: mediaTypeOf(answer) }
    })

  return {
    resolve: () =>
      fromAny(async server => {
        const name = reference.digest ?? reference.tag ?? 'latest'
        const headers = { accept: [...manifestTypes, '*/*'].join(', ') }
        const answer = await patiently(server, () => send(server, 'HEAD', `manifests/${name}`, headers))
        answer.body.resume()
        const digest = reference.digest ?? answer.headers['docker-content-digest']
        const size = Number(answer.headers['content-length'])
        if (typeof digest === 'string' && isDigest(digest) && Number.isSafeInteger(size) && size > 0) {
          if (size > maxManifestBytes) throw new Error(`rejecting ${size} bytes of manifest, more than ${maxManifestBytes}`)
          return { mediaType: mediaTypeOf(answer), digest, size }
        }
        // A server that does not say: the manifest itself does.
        const { bytes, mediaType } = await getManifest(server, name)
        const actual = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
        if (reference.digest !== undefined && actual !== reference.digest) throw wrongDigest('manifest', reference.digest, actual)
        return { mediaType, digest: actual, size: bytes.byteLength }
      }),
    manifest: ({ digest }) =>
      fromAny(async server => {
        const { bytes } = await getManifest(server, digest)
        const actual = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
        if (actual !== digest) throw wrongDigest('manifest', digest, actual)
        return bytes
      }),
    async *blob({ digest, size }, offset) {
      let have = offset
      let progress = performance.now()
      for (let failures = 0; ;) {
        try {
          const answer = await fromAny(server =>
            send(server, 'GET', `blobs/${digest}`, have > 0 ? { range: `bytes=${have}-` } : {}).catch((error: unknown) => {
              // A server that has less than we do: from the beginning, of which we need nothing.
              if (error instanceof StatusError && error.status === 416)
                throw new Error(`layer ${digest} is shorter than the ${size} bytes that are declared`)
              throw error
            }),
          )
          let surplus = answer.status === 206 ? have - rangeStart(answer) : have
          if (surplus < 0) throw new RequestError(`the registry sent another part of ${digest} than was asked for`, 'ERANGE')
          try {
            for await (let part of answer.body as AsyncIterable<Buffer>) {
              progress = performance.now()
              if (surplus > 0) {
                const cut = Math.min(surplus, part.byteLength)
                surplus -= cut
                part = part.subarray(cut)
                if (part.byteLength === 0) continue
              }
              have += part.byteLength
              failures = 0
              yield part
              // Whoever takes the bytes may be slower than the registry.
              progress = performance.now()
              // It refuses what is too long.
              if (have > size) return
            }
            if (have >= size) return
            throw new RequestError(`unexpected EOF: ${have} of ${size} bytes of ${digest}`, 'ECONNRESET')
          } finally {
            answer.body.destroy()
          }
        } catch (error) {
          signal.throwIfAborted()
          const idle = performance.now() - progress
          if (idle >= noProgressMs)
            throw new RequestError(`no progress on ${digest} for ${Math.round(idle / 1000)}s: ${(error as Error).message}`, 'ESTALLED')
          if (++failures >= attempts || !isPassing(error)) throw error
          await pause(failures, error, signal)
        }
      }
    },
  }
}

const isDigest = (text: string): boolean => /^sha256:[0-9a-f]{64}$/.test(text)
const mediaTypeOf = ({ headers }: Answer): string => (headers['content-type'] ?? '').split(';')[0]!.trim()
const wrongDigest = (what: string, wanted: string, actual: string): Error =>
  new Error(`failed commit on ref "${what}-${wanted}": unexpected commit digest ${actual}, expected ${wanted}: failed precondition`)
const rangeStart = ({ headers }: Answer): number => Number(/^bytes (\d+)-/.exec(headers['content-range'] ?? '')?.[1] ?? NaN)

/** Codes of bodies that break off are the socket's. */
function isPassing(error: unknown): boolean {
  if (error instanceof StatusError) return [408, 429, 500, 502, 503, 504].includes(error.status)
  if (error instanceof RequestError) return error.passing
  if (error instanceof AuthorizationError || error instanceof NotFoundError) return false
  return ['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ESTALLED'].includes((error as NodeJS.ErrnoException).code ?? '')
}

/** Seconds, or a date. */
function retryAfterMs(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now()
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined
}

async function pause(failures: number, error: unknown, signal: AbortSignal): Promise<void> {
  const asked = (error as { retryAfterMs?: number }).retryAfterMs
  const own = firstPauseMs * 2 ** (failures - 1) * (0.5 + Math.random() / 2)
  await after(Math.min(asked ?? own, longestPauseMs, noProgressMs), undefined, { signal })
}
