/**
 * ServiceAccount: pods run as an account that exists, and find a token of it, the cluster's certificate and their namespace in every
 * container.
 */
import type { Pod } from '#shared/api/core/pod.ts'
import type { ServiceAccount } from '#shared/api/core/serviceaccount.ts'
import { clone } from '#shared/machinery/jsonvalue.ts'
import { forbidden, badRequest, type StatusError } from '#shared/machinery/status.ts'
import type { Registry, Stored } from '../registry/registry.ts'
import { generateName } from '../objects/create.ts'
import { isAbout, type AdmissionPlugin, type Attributes } from './admission.ts'

const table = { group: '', plural: 'serviceaccounts' }
const mountPath = '/var/run/secrets/kubernetes.io/serviceaccount'
const mirrorAnnotation = 'kubernetes.io/config.mirror'
/** Upstream's life time of a projected token: an hour and a little, so that a renewal at the full hour is never late. */
const tokenSeconds = 3607
/** Upstream's patience with the account `default`: ten looks, up to 200 ms apart. */
const appearsWithinMs = 2000

export function serviceAccount(registry: Registry): AdmissionPlugin {
  return {
    name: 'ServiceAccount',
    mutate(a) {
      if (a.operation !== 'CREATE' || !isAbout(a, '', 'pods')) return undefined
      const pod = a.object as Pod
      // The API's copy of a pod that a kubelet runs from a file: nobody could mount a token into it.
      if (pod.metadata.annotations?.[mirrorAnnotation] !== undefined) return checkMirror(a, pod)
      pod.spec.serviceAccountName ||= 'default'
      const name = pod.spec.serviceAccountName
      const account = registry.get(table, a.namespace, name)
      return account ? complete(pod, account.object as ServiceAccount) : late(registry, a, pod, name)
    },
  }
}

const refused = (a: Attributes, why: string): StatusError => forbidden(a.resource, a.name, why)

/**
 * The account may just have been made; the cache is asked again when it is current. The one that a controller makes for each namespace may
 * be on its way.
 */
async function late(registry: Registry, a: Attributes, pod: Pod, name: string): Promise<void> {
  await registry.fresh()
  const account = registry.get(table, a.namespace, name) ?? (name === 'default' ? await appearing(registry, a.namespace, name) : undefined)
  if (!account)
    throw refused(a, `error looking up service account ${a.namespace}/${name}: serviceaccount ${JSON.stringify(name)} not found`)
  complete(pod, account.object as ServiceAccount)
}

/** The account once it is there, undefined when it does not come within `appearsWithinMs`. */
function appearing(registry: Registry, namespace: string, name: string): Promise<Stored | undefined> {
  return new Promise(resolve => {
    const end = (account?: Stored): void => {
      clearTimeout(timer)
      stop()
      resolve(account)
    }
    const timer = setTimeout(end, appearsWithinMs)
    const stop = registry.watch(
      table,
      { namespace, name, after: registry.version },
      { events: events => end(events.at(-1)?.stored), progress: () => {}, expired: () => end() },
    )
  })
}

function checkMirror(a: Attributes, pod: Pod): void {
  if (pod.spec.serviceAccountName) throw refused(a, 'a mirror pod may not reference service accounts')
  if (pod.spec.volumes?.some(v => v.secret)) throw refused(a, 'a mirror pod may not reference secrets')
  if (pod.spec.volumes?.some(v => v.projected?.sources?.some(s => s.serviceAccountToken)))
    throw badRequest('a mirror pod may not use ServiceAccountToken volume projections')
}

function complete(pod: Pod, account: ServiceAccount): void {
  const { spec } = pod
  if (spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true) mountToken(spec)
  if (!spec.imagePullSecrets?.length && account.imagePullSecrets?.length) spec.imagePullSecrets = clone(account.imagePullSecrets)
}

type Volume = NonNullable<Pod['spec']['volumes']>[number]

function mountToken(spec: Pod['spec']): void {
  const existing = spec.volumes?.find(v => v.name.startsWith('kube-api-access-') && v.projected?.sources?.some(s => s.serviceAccountToken))
  const name = existing?.name ?? generateName('kube-api-access-')
  let mounted = false
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
    if (container.volumeMounts?.some(m => m.mountPath === mountPath)) continue
    container.volumeMounts = [...(container.volumeMounts ?? []), { name, readOnly: true, mountPath }]
    mounted = true
  }
  if (!existing && mounted) spec.volumes = [...(spec.volumes ?? []), tokenVolume(name)]
}

const tokenVolume = (name: string): Volume => ({
  name,
  projected: {
    defaultMode: 0o644,
    sources: [
      { serviceAccountToken: { path: 'token', expirationSeconds: tokenSeconds } },
      { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
      { downwardAPI: { items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }] } },
    ],
  },
})
