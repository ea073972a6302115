/**
 * Ends tokens in Secrets that were made for accounts automatically, long ago, and that nobody uses: first marked invalid, later deleted.
 * pkg/controller/serviceaccount/legacy_serviceaccount_token_cleaner.go
 */
import type { Pod } from '#shared/api/core/pod.ts'
import type { Secret } from '#shared/api/core/secret.ts'
import type { ServiceAccount } from '#shared/api/core/serviceaccount.ts'
import { configMaps, pods, secrets, serviceAccounts } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { source } from '#shared/client/controller.ts'
import { isConflict, isNotFound } from '#shared/machinery/status.ts'
import {
  accountNameAnnotation,
  accountUidAnnotation,
  dateOf,
  invalidSinceLabel,
  lastUsedLabel,
  timeOf,
  tokenSecretType,
  trackingConfigMap,
} from '#shared/machinery/serviceaccounttoken.ts'
import type { NewController } from './context.ts'

const dayMs = 24 * 3600_000

/** What shall happen to a token's Secret, of which `account` is the account. `now` and `period` in ms. */
export function verdict(
  secret: Secret,
  account: ServiceAccount | undefined,
  now: number,
  period: number,
): 'keep' | 'invalidate' | 'delete' {
  const { labels, name, creationTimestamp, deletionTimestamp } = secret.metadata
  const keptFrom = dateOf(now - period)
  if (secret.type !== tokenSecretType || deletionTimestamp || Date.parse(creationTimestamp ?? '') >= now - period) return 'keep'
  const lastUsed = labels?.[lastUsedLabel]
  if (lastUsed !== undefined && (timeOf(lastUsed) === undefined || lastUsed >= keptFrom)) return 'keep'
  // Only those that an account names were made automatically.
  if (!account?.secrets?.some(s => s.name === name)) return 'keep'
  const since = labels?.[invalidSinceLabel]
  if (since === undefined || timeOf(since) === undefined) return 'invalidate'
  return since >= keptFrom ? 'keep' : 'delete'
}

/** The names of all Secrets that a pod uses. */
export function secretsOf({ spec }: Pod): string[] {
  const containers = [...spec.containers, ...(spec.initContainers ?? []), ...(spec.ephemeralContainers ?? [])]
  const names = [
    ...(spec.imagePullSecrets ?? []).map(s => s.name),
    ...containers.flatMap(c => [
      ...(c.envFrom ?? []).map(e => e.secretRef?.name),
      ...(c.env ?? []).map(e => e.valueFrom?.secretKeyRef?.name),
    ]),
    ...(spec.volumes ?? []).flatMap(v => [
      v.secret?.secretName,
      ...(v.projected?.sources ?? []).map(s => s.secret?.name),
      // Drivers' volumes name theirs in one of these.
      ...Object.values(v).flatMap(of => {
        const { secretRef, secretName, nodePublishSecretRef } = (of ?? {}) as {
          secretRef?: { name?: string }
          secretName?: string
          nodePublishSecretRef?: { name?: string }
        }
        return [secretRef?.name, secretName, nodePublishSecretRef?.name]
      }),
    ]),
  ]
  return names.filter(n => n !== undefined && n !== '') as string[]
}

export const legacyTokenCleaner: NewController = ctx => {
  const { legacyTokenCleanUpMs: period } = ctx.settings
  const tokens = ctx.informer(secrets, { fieldSelector: `type=${tokenSecretType}` })
  const accounts = ctx.informer(serviceAccounts)

  const accountOf = ({ metadata: { namespace = '', annotations } }: Secret): ServiceAccount | undefined => {
    const account = accounts.get(namespace, annotations?.[accountNameAnnotation] ?? '')
    const uid = annotations?.[accountUidAnnotation]
    return !uid || account?.metadata.uid === uid ? account : undefined
  }

  /** The day after the first on which uses were noted, in ms: what was used before nobody knows. */
  async function trackedSince(client: Client): Promise<number | undefined> {
    try {
      const since = timeOf((await client.get(configMaps, 'kube-system', trackingConfigMap)).data?.['since'])
      return since === undefined ? undefined : since + dayMs
    } catch (e) {
      if (isNotFound(e)) return undefined
      throw e
    }
  }

  async function carryOut(client: Client, secret: Secret, what: 'invalidate' | 'delete'): Promise<void> {
    const { namespace = '', name = '', uid, resourceVersion = '' } = secret.metadata
    try {
      if (what === 'delete') await client.delete(secrets, namespace, name, { preconditions: { resourceVersion } })
      else await client.patch(secrets, namespace, name, 'merge', { metadata: { uid, labels: { [invalidSinceLabel]: dateOf(Date.now()) } } })
      ctx.log.info({ secret: `${namespace}/${name}`, what }, 'a service account token that nobody uses')
    } catch (e) {
      if (!isNotFound(e) && !isConflict(e)) throw e
    }
  }

  return {
    name: 'legacy-serviceaccount-token-cleaner-controller',
    client: ctx.as('legacy-service-account-token-cleaner'),
    workers: 1,
    sources: [source(tokens, () => ['']), source(accounts)],
    async reconcile(_, client) {
      const now = Date.now()
      const due = tokens.list().flatMap(secret => {
        const what = verdict(secret, accountOf(secret), now, period)
        return what === 'keep' ? [] : [{ secret, what }]
      })
      const since = due.length > 0 ? await trackedSince(client) : undefined
      if (since !== undefined && now >= since + period) {
        const used = new Map<string, Set<string>>()
        for (const { secret, what } of due) {
          const { namespace = '', name = '' } = secret.metadata
          // What is kept of pods here does not tell which Secrets they mount.
          if (!used.has(namespace)) used.set(namespace, new Set((await ctx.client.list(pods, namespace)).items.flatMap(secretsOf)))
          if (!used.get(namespace)!.has(name)) await carryOut(client, secret, what)
        }
      }
      return { requeueAfterMs: dayMs }
    },
    log: ctx.log,
  }
}
