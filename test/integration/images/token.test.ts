/** Token servers: anonymous, with a password, with an identity token; tokens that end. */
import { afterEach, expect, it } from 'vitest'
import { readRegistries } from '#node-agent/registry/registries.ts'
import { openRepository, type Repository } from '#node-agent/registry/repository.ts'
import { newTransport } from '#node-agent/registry/transport.ts'
import { parseReference } from '#node-agent/runtime/images/reference.ts'
import type { RegistryCredentials } from '#node-agent/runtime/imageservice.ts'
import { jane } from '../../fixtures/registry.ts'
import { standIn, type StandIn } from '../../fixtures/standin-registry.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})
const digest = `sha256:${'a'.repeat(64)}`

interface Tokens {
  /** The token for who asks; undefined: none. */
  issue: (query: URLSearchParams, authorization: string | undefined, form: URLSearchParams) => string | undefined
  /** Whether the registry takes it. */
  takes: (token: string) => boolean
  error?: string
}

/** A registry whose tokens come from the same server. */
async function registryWith({ issue, takes, error }: Tokens): Promise<StandIn> {
  const server = await standIn((request, response) => {
    const url = new URL(request.url!, 'http://x')
    if (url.pathname === '/token') {
      let body = ''
      request.setEncoding('utf8').on('data', (text: string) => (body += text))
      request.once('end', () => {
        const token = issue(url.searchParams, request.headers.authorization, new URLSearchParams(body))
        if (token === undefined) response.writeHead(401).end('{}')
        else response.end(JSON.stringify(body ? { access_token: token } : { token, expires_in: 60 }))
      })
      return
    }
    const token = /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1]
    if (token !== undefined && takes(token)) response.writeHead(200, { 'docker-content-digest': digest, 'content-length': 5 }).end()
    else {
      const told = token !== undefined && error ? `,error="${error}"` : ''
      const scope = `repository:${url.pathname.split('/')[2]}:pull`
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${server.url}/token",service="test",scope="${scope}"${told}` }).end()
    }
  })
  ends.push(() => server.close())
  return server
}
function open(host: string, credentials?: RegistryCredentials): Repository {
  const registries = readRegistries(undefined)
  const transport = newTransport(registries)
  ends.push(() => transport.close())
  const { signal } = new AbortController()
  return openRepository({ reference: parseReference(`${host}/app:1`), registries, transport, credentials, signal })
}

it('gives anonymous tokens, which are kept', async () => {
  const registry = await registryWith({
    issue: query => (query.get('service') === 'test' && query.get('scope') === 'repository:app:pull' ? 'free' : undefined),
    takes: token => token === 'free',
  })
  const repository = open(registry.host)
  expect((await repository.resolve()).digest).toBe(digest)
  await repository.resolve()
  expect(registry.asked.filter(a => a.includes('/token'))).toHaveLength(1)
})

it('gives tokens to who has a password', async () => {
  const basic = `Basic ${Buffer.from('jane:secret').toString('base64')}`
  const registry = await registryWith({ issue: (_, auth) => (auth === basic ? 'hers' : undefined), takes: token => token === 'hers' })
  expect((await open(registry.host, jane).resolve()).digest).toBe(digest)
  await expect(open(registry.host, { ...jane, password: 'no' }).resolve()).rejects.toThrow(
    /^failed to authorize: failed to fetch oauth token: unexpected status from GET request to http:.*: 401 Unauthorized$/,
  )
  await expect(open(registry.host).resolve()).rejects.toThrow(/failed to fetch anonymous token: .* 401 Unauthorized/)
})

it('gives tokens for an identity token, as OAuth 2.0 has it', async () => {
  const registry = await registryWith({
    issue: (_, auth, form) =>
      form.get('grant_type') === 'refresh_token' && form.get('refresh_token') === 'identity' && !auth ? 'oauth' : undefined,
    takes: token => token === 'oauth',
  })
  expect((await open(registry.host, { identityToken: 'identity' }).resolve()).digest).toBe(digest)
})

it('takes a registry token as it is', async () => {
  const registry = await registryWith({ issue: () => undefined, takes: token => token === 'given' })
  expect((await open(registry.host, { registryToken: 'given' }).resolve()).digest).toBe(digest)
  await expect(open(registry.host, { registryToken: 'wrong' }).resolve()).rejects.toThrow('401 Unauthorized')
})

it('renews a token that has ended', async () => {
  let serial = 0
  let valid = ''
  const registry = await registryWith({ issue: () => (valid = `t${++serial}`), takes: token => token === valid })
  const repository = open(registry.host)
  await repository.resolve()
  valid = 'none'
  expect((await repository.resolve()).digest).toBe(digest)
  expect(serial).toBe(2)
})

it('tells what the server says of a token that is not enough', async () => {
  const registry = await registryWith({ issue: () => 'weak', takes: () => false, error: 'insufficient_scope' })
  await expect(open(registry.host).resolve()).rejects.toThrow(
    'pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed',
  )
})

it('does not believe in tokens that are headers', async () => {
  const registry = await registryWith({ issue: () => 'a\r\nX-Evil: 1', takes: () => true })
  await expect(open(registry.host).resolve()).rejects.toThrow('the token has characters that no header may have')
})
