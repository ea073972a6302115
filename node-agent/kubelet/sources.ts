/** The ConfigMaps, Secrets, trust bundles and tokens that this node's pods refer to: one watch for each, shared by the pods that need it. */
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import type { ClusterTrustBundle } from '#shared/api/certificates/clustertrustbundle.ts'
import { clusterTrustBundles, configMaps, secrets, serviceAccounts } from '#shared/api/kinds.ts'
import type { TokenRequest } from '#shared/api/authentication/tokenrequest.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { ServiceAccount } from '#shared/api/core/serviceaccount.ts'
import type { Secret } from '#shared/api/core/secret.ts'
import type { Client } from '#shared/client/client.ts'
import type { Informer } from '#shared/client/informer.ts'
import { startInformer, type InformerOptions } from '#shared/client/reflector.ts'
import { escapeFieldValue } from '#shared/machinery/fieldselector.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { uidOf } from './pod/containers.ts'

/** What one pod may look up; everything that has a namespace is in its own. */
export interface PodSources {
  /** Resolves with undefined when it does not exist; rejects when the API does not answer in time. */
  configMap(name: string): Promise<ConfigMap | undefined>
  secret(name: string): Promise<Secret | undefined>
  trustBundle(name: string): Promise<ClusterTrustBundle | undefined>
  /** All of a signer with labels that a selector, as a text, selects. */
  trustBundles(signerName: string, labelSelector: string): Promise<readonly ClusterTrustBundle[]>
  /** The pod's own, as it is now; undefined when it is not there. Rejects when the API does not answer. */
  serviceAccount(): Promise<ServiceAccount | undefined>
  /** A token of the pod's service account, bound to the pod, renewed when 80 % of its life (or a day) has passed. */
  token(audience: string, expirationSeconds: number): Promise<string>
  /** Grows whenever something that was looked up has changed. */
  readonly version: number
  /** Ends the pod's watches that no other pod needs. */
  release(): void
}
export interface ObjectSources {
  forPod(pod: Pod, onChange: () => void): PodSources
}

interface Watched {
  informer: Informer<KubeObject>
  stop: AbortController
  users: Map<string, () => void>
}
const answerWithinMs = 10_000
const dayMs = 24 * 3_600_000

export function objectSources(client: Client, signal: AbortSignal): ObjectSources {
  const watched = new Map<string, Watched>()

  function watch(kind: Kind<any>, which: InformerOptions<KubeObject>): Watched {
    // any: kinds of several types share the map
    const key = `${kind.plural}/${JSON.stringify(which)}`
    const known = watched.get(key)
    if (known) return known
    const stop = new AbortController()
    const informer = startInformer<KubeObject>(client, kind, which, AbortSignal.any([signal, stop.signal]))
    const entry: Watched = { informer, stop, users: new Map() }
    watched.set(key, entry)
    void informer.synced.then(() => informer.subscribe(() => entry.users.forEach(changed => changed())))
    return entry
  }
  async function synced(entry: Watched, what: string): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`failed to sync ${what} cache: timed out waiting for the condition`)), answerWithinMs)
    })
    await Promise.race([entry.informer.synced, late]).finally(() => clearTimeout(timer))
  }

  return {
    forPod(pod, onChange) {
      const uid = uidOf(pod)
      const namespace = pod.metadata.namespace ?? ''
      let version = 0
      const changed = (): void => {
        version++
        onChange()
      }
      async function lookUp<T>(kind: Kind<T>, what: string, which: InformerOptions<KubeObject>): Promise<T[]> {
        const entry = watch(kind, which)
        await synced(entry, what)
        // Subscribed after the first answer, so that it does not count as a change.
        entry.users.set(uid, changed)
        return entry.informer.list() as T[]
      }
      const one = async <T>(kind: Kind<T>, name: string): Promise<T | undefined> =>
        (await lookUp(kind, kind.kind.toLowerCase(), { ...(kind.namespaced ? { namespace } : {}), name }))[0]
      const tokens = new Map<string, { token: string; renewAt: number; timer: NodeJS.Timeout }>()
      return {
        configMap: name => one(configMaps, name),
        secret: name => one(secrets, name),
        trustBundle: name => one(clusterTrustBundles, name),
        trustBundles: (signerName, labelSelector) =>
          lookUp(clusterTrustBundles, 'clustertrustbundle', {
            fieldSelector: `spec.signerName=${escapeFieldValue(signerName)}`,
            ...(labelSelector === '' ? {} : { labelSelector }),
          }),
        serviceAccount: () =>
          client
            .get(serviceAccounts, namespace, pod.spec.serviceAccountName ?? '')
            .catch((e: unknown) => (isNotFound(e) ? undefined : Promise.reject(e))),
        async token(audience, expirationSeconds) {
          const key = `${audience} ${expirationSeconds}`
          const known = tokens.get(key)
          if (known && Date.now() < known.renewAt) return known.token
          try {
            const fresh = await requestToken(client, pod, audience, expirationSeconds)
            clearTimeout(known?.timer)
            const life = fresh.expiresAt - Date.now()
            const renewIn = Math.max(1000, Math.min(life * 0.8, dayMs) * (0.97 + Math.random() * 0.03))
            const timer = setTimeout(changed, renewIn)
            timer.unref()
            tokens.set(key, { token: fresh.token, renewAt: Date.now() + renewIn, timer })
            return fresh.token
          } catch (e) {
            // A token that still lives is better than none while the API is away.
            if (!known) throw new Error(`failed to fetch token: ${(e as Error).message}`)
            known.timer = setTimeout(changed, 10_000)
            known.timer.unref()
            return known.token
          }
        },
        get version() {
          return version
        },
        release() {
          for (const { timer } of tokens.values()) clearTimeout(timer)
          tokens.clear()
          for (const [key, entry] of watched) {
            if (!entry.users.delete(uid) || entry.users.size > 0) continue
            entry.stop.abort()
            watched.delete(key)
          }
        },
      }
    },
  }
}

async function requestToken(
  client: Client,
  pod: Pod,
  audience: string,
  expirationSeconds: number,
): Promise<{ token: string; expiresAt: number }> {
  const { namespace = '', name, uid } = pod.metadata
  const body = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { audiences: audience === '' ? [] : [audience], expirationSeconds, boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid } },
  }
  const answer = await client.post<TokenRequest>(serviceAccounts, namespace, pod.spec.serviceAccountName || 'default', 'token', body)
  if (!answer.status?.token) throw new Error('the server gave no token')
  return { token: answer.status.token, expiresAt: Date.parse(answer.status.expirationTimestamp) }
}
