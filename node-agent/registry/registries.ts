/**
 * Where registries are, and what they want to see: the machine's `registries.yaml`, in the form that k3s made known
 * (https://docs.k3s.io/installation/private-registry): mirrors of registries, and how single hosts are spoken to.
 */
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { parse } from 'yaml'
import * as z from 'zod'
import type { RegistryCredentials } from '../runtime/imageservice.ts'
import { credentialsOf } from './dockerauth.ts'

const endpointUrl = z.string().regex(/^https?:\/\/[^\s/?#@]+(\/[^\s?#]*)?$/, 'must be https://HOST[:PORT][/PATH] or http://...')
const expression = z.string().refine(text => {
  try {
    return Boolean(new RegExp(text))
  } catch {
    return false
  }
}, 'must be a regular expression')
const schema = z.strictObject({
  mirrors: z
    .record(
      z.string(),
      z.strictObject({ endpoint: z.array(endpointUrl).default([]), rewrite: z.record(expression, z.string()).optional() }).nullable(),
    )
    .nullish(),
  configs: z
    .record(
      z.string(),
      z.strictObject({
        auth: z
          .strictObject({
            username: z.string().optional(),
            password: z.string().optional(),
            auth: z.string().optional(),
            identity_token: z.string().optional(),
          })
          .nullish(),
        tls: z
          .strictObject({
            ca_file: z.string().optional(),
            cert_file: z.string().optional(),
            key_file: z.string().optional(),
            insecure_skip_verify: z.boolean().optional(),
          })
          .nullish(),
      }),
    )
    .nullish(),
})

/** How TLS with one host is done: PEM texts. */
export interface TlsOptions {
  ca?: string
  cert?: string
  key?: string
  skipVerify?: boolean
}

/** One server that may have a repository. */
export interface Endpoint {
  /** `https://registry-1.docker.io/v2/`, with a slash at the end. */
  base: URL
  /** The registry that it is a mirror of. */
  mirrorOf?: string
  /** What a repository is called there. */
  rewrite(path: string): string
  credentials?: RegistryCredentials
}

export interface Registries {
  /** In the order in which they are asked; the registry itself comes last. */
  endpoints(registry: string): Endpoint[]
  /** Of a host with its port, if it has one in URLs. */
  tls(host: string): TlsOptions
}

const dockerHub = 'registry-1.docker.io'

/** `localhost`, an address of the loopback network, with or without a port. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, '')
  return name === 'localhost' || name === '[::1]' || (isIP(name) === 4 && name.startsWith('127.'))
}

/** Throws one line that names the file and the place. */
export function parseRegistries(text: string, file: string): Registries {
  let value: unknown
  try {
    value = parse(text, { maxAliasCount: 100 }) ?? {}
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message.split('\n')[0]}`)
  }
  const result = schema.safeParse(value)
  if (!result.success)
    throw new Error(`${file}: ${result.error.issues.map(i => `${i.path.join('.') || 'the file'}: ${i.message}`).join('; ')}`)
  const { mirrors, configs } = result.data
  // An option that names a file is read at once: what is missing is told before anything is pulled.
  const read = (path: string | undefined, name: string): { [key: string]: string } => {
    if (path === undefined) return {}
    try {
      return { [name]: readFileSync(path, 'utf8') }
    } catch (error) {
      throw new Error(`${file}: ${(error as Error).message}`)
    }
  }
  const tls = new Map<string, TlsOptions>()
  for (const [host, { tls: t }] of Object.entries(configs ?? {}))
    if (t)
      tls.set(host, {
        ...read(t.ca_file, 'ca'),
        ...read(t.cert_file, 'cert'),
        ...read(t.key_file, 'key'),
        ...(t.insecure_skip_verify ? { skipVerify: true } : {}),
      })
  return newRegistries(
    mirrors ?? {},
    Object.fromEntries(Object.entries(configs ?? {}).map(([host, c]) => [host, c.auth ?? undefined])),
    tls,
  )
}

/** Rejects with one line. Without a file: every registry is at its own name. */
export const readRegistries = (file: string | undefined): Registries =>
  file === undefined ? newRegistries({}, {}, new Map()) : parseRegistries(readText(file), file)

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`)
  }
}

type Mirrors = NonNullable<z.output<typeof schema>['mirrors']>
type Auth = NonNullable<NonNullable<z.output<typeof schema>['configs']>[string]['auth']>

function newRegistries(mirrors: Mirrors, auths: { [host: string]: Auth | undefined }, tls: Map<string, TlsOptions>): Registries {
  const none: TlsOptions = {}
  const tlsOf = (host: string): TlsOptions => tls.get(host) ?? tls.get(host.replace(/:\d+$/, '')) ?? none
  const credentials = (host: string): { credentials?: RegistryCredentials } => {
    const auth = auths[host]
    return auth ? { credentials: credentialsOf({ ...auth, identitytoken: auth.identity_token }) } : {}
  }
  return {
    tls: tlsOf,
    endpoints(registry) {
      const mirror = mirrors[registry] ?? mirrors['*'] ?? undefined
      const rewrites = Object.entries(mirror?.rewrite ?? {}).map(([from, to]) => [new RegExp(from), to] as const)
      const found: Endpoint[] = (mirror?.endpoint ?? []).map(text => {
        const url = new URL(text)
        // A path that is given is the whole path of the API, as containerd's override_path.
        const base = new URL(`${url.pathname === '/' ? '/v2' : url.pathname.replace(/\/+$/, '')}/`, url)
        return {
          base,
          ...(base.host === registry ? {} : { mirrorOf: registry }),
          rewrite: path => {
            const match = rewrites.find(([from]) => from.test(path))
            return match ? path.replace(match[0], match[1]) : path
          },
          ...credentials(base.host),
        }
      })
      if (found.some(e => e.mirrorOf === undefined)) return found
      const host = registry === 'docker.io' ? dockerHub : registry
      const scheme = isLoopback(host) && !tls.has(host) ? 'http' : 'https'
      const own = credentials(registry)
      return [...found, { base: new URL(`${scheme}://${host}/v2/`), rewrite: path => path, ...(own.credentials ? own : credentials(host)) }]
    },
  }
}
