/** All ways in that the server's flags ask for, in upstream's order: pkg/kubeapiserver/authenticator/config.go */
import { readFile } from 'node:fs/promises'
import type { Logger } from '#shared/component/log.ts'
import type { ChainParts } from '../chain/chain.ts'
import { parseConfig, readText } from '#shared/component/configfile.ts'
import type { ApiServerOptions } from '../options.ts'
import type { Registry } from '../registry/registry.ts'
import { closeLater, reloading, type ReloadMetrics } from '../reload.ts'
import { authenticateBy, byBearerToken, byTransport, byWebSocketProtocol } from './authenticator.ts'
import { bootstrapTokens } from './bootstraptoken.ts'
import { authenticationConfiguration, type AuthenticationConfiguration } from './configuration.ts'
import { publicKeys, signingKey, type PublicKey } from './keys.ts'
import type { Used } from './legacytoken.ts'
import { oidcAuthenticator } from './oidc.ts'
import { serviceAccountTokens, type ServiceAccountTokens } from './serviceaccount.ts'
import { audienceAgnostic, unionTokens, type TokenAuthenticator } from './token.ts'
import { tokenFile } from './tokenfile.ts'
import { tokenWebhook } from './webhook.ts'

export interface Authentication {
  /** Of service-account tokens. */
  readonly keys: readonly PublicKey[]
  readonly tokens: ServiceAccountTokens
  /** Of this API. */
  readonly audiences: readonly string[]
  readonly authenticateToken: TokenAuthenticator
  readonly authenticate: ChainParts['authenticate']
  close(): void
}

const pem = (file: string): Promise<string> => readFile(file, 'utf8')

/** Rejects with one line for files that are missing or wrong. */
export async function newAuthentication(
  options: ApiServerOptions,
  registry: Registry,
  onUse: Used,
  metrics: ReloadMetrics,
  log: Logger,
): Promise<Authentication> {
  const { serviceAccountSigningKeyFile: signingFile, serviceAccountIssuer: issuers, apiAudiences } = options
  const audiences = apiAudiences.length > 0 ? apiAudiences : issuers
  const signing = signingFile === undefined ? undefined : signingKey(await pem(signingFile))
  const keys = publicKeys(await Promise.all(options.serviceAccountKeyFile.map(pem)), signing)
  const tokens = serviceAccountTokens(registry, { keys, signing, issuers, audiences, onUse })
  const all: TokenAuthenticator[] = []
  const closing: (() => void)[] = []
  const add = <A extends { authenticate: TokenAuthenticator; close(): void }>(authenticator: A): void => {
    all.push(authenticator.authenticate)
    closing.push(() => authenticator.close())
  }
  if (options.tokenAuthFile !== undefined) all.push(audienceAgnostic(audiences, await tokenFile(options.tokenAuthFile, log)))
  all.push(tokens.authenticate)
  if (options.enableBootstrapTokenAuth) all.push(audienceAgnostic(audiences, bootstrapTokens(registry)))
  const configured = await followConfiguration(options, audiences, metrics, log)
  if (configured) add(configured)
  if (options.authenticationTokenWebhookConfigFile !== undefined) {
    const { authenticationTokenWebhookVersion: version, authenticationTokenWebhookCacheTtl: ttlMs } = options
    add(await tokenWebhook({ file: options.authenticationTokenWebhookConfigFile, version, ttlMs, audiences }, log))
  }
  const authenticateToken = unionTokens(all)
  return {
    keys,
    tokens,
    audiences,
    authenticateToken,
    authenticate: authenticateBy(
      [byTransport, byBearerToken(authenticateToken, audiences), byWebSocketProtocol(authenticateToken, audiences)],
      path => (configured ? configured.mayBeAnonymous(path) : (options.anonymousAuth ?? true)),
    ),
    close: () => closing.forEach(end => end()),
  }
}

/** What the file of `--authentication-config` says now. */
interface Configured {
  readonly mayBeAnonymous: (path: string) => boolean
  readonly authenticate: TokenAuthenticator
  close(): void
}

async function followConfiguration(
  { authenticationConfig: file, anonymousAuth }: ApiServerOptions,
  audiences: readonly string[],
  metrics: ReloadMetrics,
  log: Logger,
): Promise<Configured | undefined> {
  if (file === undefined) return undefined
  const load = (text: string) => {
    const { jwt = [], anonymous } = parseConfig(text, authenticationConfiguration, file)
    const mayBeAnonymous = anonymousRule(anonymousAuth, anonymous)
    const issuers = jwt.map(one => oidcAuthenticator(one, audiences, log))
    return { mayBeAnonymous, issuers, authenticate: unionTokens(issuers.map(i => i.authenticate)) }
  }
  const initial = await readText(file)
  let current = load(initial)
  const end = ({ issuers }: typeof current): void => issuers.forEach(i => i.close())
  const stop = reloading({ file, what: 'authentication', metrics, log, initial }, async text => {
    const [former, next] = [current, load(text)]
    current = next
    closeLater(() => end(former))
  })
  return {
    mayBeAnonymous: path => current.mayBeAnonymous(path),
    authenticate: (...asked) => current.authenticate(...asked),
    close() {
      stop()
      end(current)
    },
  }
}

/** Which paths are open to who brings no credentials. */
function anonymousRule(flag: boolean | undefined, config: AuthenticationConfiguration['anonymous']): (path: string) => boolean {
  if (!config) return () => flag ?? true
  if (flag !== undefined)
    throw new Error('--anonymous-auth flag cannot be set when anonymous field is configured in authentication configuration file')
  if (!config.enabled) return () => false
  const paths = config.conditions?.length ? new Set(config.conditions.map(c => c.path)) : undefined
  return path => paths?.has(path) ?? true
}
