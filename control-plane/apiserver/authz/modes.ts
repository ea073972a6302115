/**
 * The authorizers that `--authorization-mode` or the file of `--authorization-config` names, in its order; members of system:masters may do
 * everything before any is asked (pkg/kubeapiserver/authorizer).
 */
import type { Registry as MetricsRegistry } from 'prom-client'
import type { Logger } from '#shared/component/log.ts'
import { parseConfig, readText } from '#shared/component/configfile.ts'
import type { ApiServerOptions } from '../options.ts'
import type { Registry } from '../registry/registry.ts'
import { closeLater, reloading, type ReloadMetrics } from '../reload.ts'
import { allow, noOpinion, privilegedGroup, union, type Authorizer, type Rules } from './authorizer.ts'
import { authorizationConfiguration, msOf, type AuthorizerConfiguration, type WebhookConfiguration } from './configuration.ts'
import { consistent } from './consistent.ts'
import { authorizationMetrics, type AuthorizationMetrics, type WebhookMetrics } from './metrics.ts'
import { nodeAuthorizer } from './node/node.ts'
import { rbacAuthorizer } from './rbac/rbac.ts'
import type { Policy } from './rbac/policy.ts'
import { webhookAuthorizer } from './webhook.ts'

const all: Rules = {
  resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
  nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
  incomplete: false,
}
const none: Rules = { resourceRules: [], nonResourceRules: [], incomplete: false }
const alwaysAllow: Authorizer = { authorize: () => allow, rulesFor: () => all }
const alwaysDeny: Authorizer = { authorize: () => ({ ...noOpinion, reason: 'Everything is forbidden.' }), rulesFor: () => none }

export interface Authorization {
  readonly authorizer: Authorizer
  close(): void
}

export type AuthorizationOptions = Pick<
  ApiServerOptions,
  | 'authorizationMode'
  | 'authorizationConfig'
  | 'authorizationWebhookConfigFile'
  | 'authorizationWebhookVersion'
  | 'authorizationWebhookCacheAuthorizedTtl'
  | 'authorizationWebhookCacheUnauthorizedTtl'
>

/** Follows the file, if there is one. Rejects with one line for flags or files that are wrong. */
export async function newAuthorization(
  options: AuthorizationOptions,
  registry: Registry,
  policy: Policy,
  { registry: metricsRegistry, reloads }: { registry: MetricsRegistry; reloads: ReloadMetrics },
  log: Logger,
): Promise<Authorization> {
  const metrics = authorizationMetrics(metricsRegistry)
  const parts: AuthorizerParts = { node: nodeAuthorizer(registry), rbac: rbacAuthorizer(policy), metrics, log }
  const whole = (asked: Authorizer): Authorizer => union([privilegedGroup('system:masters'), consistent(registry, asked)])
  const { authorizationConfig: file } = options
  if (file === undefined) {
    const { authorizer, close } = await authorizersOf(byFlags(options), parts)
    return { authorizer: whole(authorizer), close }
  }
  if (options.authorizationMode !== undefined || options.authorizationWebhookConfigFile !== undefined)
    throw new Error('--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags are defined')
  const load = (text: string) => authorizersOf(parseConfig(text, authorizationConfiguration, file).authorizers ?? [], parts)
  const initial = await readText(file)
  let current = await load(initial)
  const stop = reloading({ file, what: 'authorization', metrics: reloads, log, initial }, async text => {
    const [former, next] = [current, await load(text)]
    current = next
    closeLater(former.close)
  })
  const asked: Authorizer = {
    authorize: a => current.authorizer.authorize(a),
    rulesFor: (user, namespace) => current.authorizer.rulesFor(user, namespace),
  }
  return {
    authorizer: whole(asked),
    close() {
      stop()
      current.close()
    },
  }
}

/** What the flags say, as the file would say it. */
function byFlags(o: AuthorizationOptions): AuthorizerConfiguration[] {
  const { authorizationMode: modes = ['Node', 'RBAC'], authorizationWebhookConfigFile: file } = o
  if (modes.includes('Webhook') && file === undefined) throw new Error("authorization-mode Webhook's authorization config file not passed")
  if (!modes.includes('Webhook') && file !== undefined)
    throw new Error('cannot specify --authorization-webhook-config-file without mode Webhook')
  const hook: WebhookConfiguration = {
    timeout: '30s',
    authorizedTTL: `${o.authorizationWebhookCacheAuthorizedTtl}ms`,
    unauthorizedTTL: `${o.authorizationWebhookCacheUnauthorizedTtl}ms`,
    cacheAuthorizedRequests: o.authorizationWebhookCacheAuthorizedTtl > 0,
    cacheUnauthorizedRequests: o.authorizationWebhookCacheUnauthorizedTtl > 0,
    subjectAccessReviewVersion: o.authorizationWebhookVersion,
    failurePolicy: 'NoOpinion',
    connectionInfo: { type: 'KubeConfigFile', ...(file === undefined ? {} : { kubeConfigFile: file }) },
  }
  return modes.map(type => ({ type, name: type.toLowerCase(), ...(type === 'Webhook' ? { webhook: hook } : {}) }))
}

interface AuthorizerParts {
  readonly node: Authorizer
  readonly rbac: Authorizer
  readonly metrics: AuthorizationMetrics
  readonly log: Logger
}

async function authorizersOf(
  configured: readonly AuthorizerConfiguration[],
  { node, rbac, metrics, log }: AuthorizerParts,
): Promise<Authorization> {
  const closing: (() => void)[] = []
  const close = (): void => closing.forEach(end => end())
  const made: Authorizer[] = []
  const own = new Map([
    ['AlwaysAllow', alwaysAllow],
    ['AlwaysDeny', alwaysDeny],
    ['Node', node],
    ['RBAC', rbac],
  ])
  try {
    for (const { type = '', name = '', webhook } of configured) {
      const local = own.get(type)
      if (local) made.push(metrics.counted(type, name, local))
      else {
        const authorizer = await openWebhook(webhook!, metrics.webhook(name), log.child({ authorizer: name }))
        made.push(metrics.counted(type, name, authorizer))
        closing.push(() => authorizer.close())
      }
    }
  } catch (e) {
    close()
    throw e
  }
  return { authorizer: union(made), close }
}

/** Of answers whose configuration says nothing, or zero. */
const defaultTtlMs = { authorized: 300_000, unauthorized: 30_000 }

function openWebhook(hook: WebhookConfiguration, metrics: WebhookMetrics, log: Logger) {
  const { connectionInfo, cacheAuthorizedRequests, cacheUnauthorizedRequests } = hook
  const file = connectionInfo?.kubeConfigFile
  if (file === undefined) throw new Error('authorization webhooks of type InClusterConfig are not allowed for kube-apiserver')
  return webhookAuthorizer(
    {
      file,
      version: hook.subjectAccessReviewVersion === 'v1beta1' ? 'v1beta1' : 'v1',
      timeoutMs: msOf(hook.timeout),
      authorizedTtlMs: cacheAuthorizedRequests === false ? 0 : msOf(hook.authorizedTTL) || defaultTtlMs.authorized,
      unauthorizedTtlMs: cacheUnauthorizedRequests === false ? 0 : msOf(hook.unauthorizedTTL) || defaultTtlMs.unauthorized,
      conditions: (hook.matchConditions ?? []).map(c => c.expression),
      onError: hook.failurePolicy === 'Deny' ? 'deny' : 'no opinion',
    },
    metrics,
    log,
  )
}
