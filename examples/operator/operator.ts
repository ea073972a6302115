/** An operator: makes of each Website a ConfigMap, a Deployment and a Service, and says in its status how far that is. */
import * as k8s from '@kubernetes/client-node'
import { serveWebhook } from './webhook.ts'
import { objectsOf, type Website } from './website.ts'

const finalizer = 'example.com/goodbye'
const manager = 'website-operator'

const config = new k8s.KubeConfig()
config.loadFromDefault()
const objects = k8s.KubernetesObjectApi.makeApiClient(config)
const custom = config.makeApiClient(k8s.CustomObjectsApi)
const apps = config.makeApiClient(k8s.AppsV1Api)

// Informers hold a copy of what is in the cluster, and say what changes.
const kind = { group: 'example.com', version: 'v1', plural: 'websites' }
const sites = k8s.makeInformer<Website>(
  config,
  '/apis/example.com/v1/websites',
  () => custom.listClusterCustomObject(kind) as Promise<k8s.KubernetesListObject<Website>>,
)
const deployments = k8s.makeInformer(config, '/apis/apps/v1/deployments', () => apps.listDeploymentForAllNamespaces())

/** Moves the world one step to where the site wants it. Called again and again, so it looks at what is there, and remembers nothing. */
async function reconcile(namespace: string, name: string): Promise<void> {
  const site = sites.get(name, namespace)
  if (!site?.metadata) return
  const finalizers = site.metadata.finalizers ?? []
  if (site.metadata.deletionTimestamp) {
    if (!finalizers.includes(finalizer)) return
    // Here goes what Kubernetes cannot clean up by itself: accounts with a provider, records in a DNS.
    console.log(`goodbye ${namespace}/${name}`)
    return patch(site, {
      metadata: { finalizers: finalizers.filter(f => f !== finalizer), resourceVersion: site.metadata.resourceVersion },
    })
  }
  if (!finalizers.includes(finalizer))
    return patch(site, { metadata: { finalizers: [...finalizers, finalizer], resourceVersion: site.metadata.resourceVersion } })
  for (const object of objectsOf(site)) await objects.patch(object, undefined, undefined, manager, true, k8s.PatchStrategy.ServerSideApply)
  const readyReplicas = deployments.get(name, namespace)?.status?.readyReplicas ?? 0
  const observedGeneration = site.metadata.generation
  if (site.status?.readyReplicas === readyReplicas && site.status.observedGeneration === observedGeneration) return
  await custom.patchNamespacedCustomObjectStatus(
    { ...kind, namespace, name, fieldManager: manager, body: { status: { readyReplicas, observedGeneration } } },
    mergePatch,
  )
}
const mergePatch = k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch)
const patch = async (site: Website, change: { metadata: object }): Promise<void> => {
  const { namespace = '', name = '' } = site.metadata ?? {}
  await custom.patchNamespacedCustomObject({ ...kind, namespace, name, fieldManager: manager, body: change }, mergePatch)
}

// One site is worked on at one time; what happens to it meanwhile is seen afterwards. Failures are tried again, later and later.
const working = new Map<string, boolean>()
async function enqueue(namespace: string, name: string, delayMs = 0): Promise<void> {
  const key = `${namespace}/${name}`
  if (working.has(key)) return void working.set(key, true)
  working.set(key, false)
  await new Promise(resolve => setTimeout(resolve, delayMs))
  const failed = await reconcile(namespace, name).then(
    () => false,
    (e: Error) => (console.log(`${key}: ${e.message.split('\n')[0]}; trying again`), true),
  )
  const again = working.get(key)
  working.delete(key)
  if (failed || again) void enqueue(namespace, name, failed ? Math.min(30_000, Math.max(500, delayMs * 2)) : 0)
}
for (const event of [k8s.ADD, k8s.UPDATE, k8s.DELETE] as const) {
  sites.on(event, site => void enqueue(site.metadata?.namespace ?? '', site.metadata?.name ?? ''))
  deployments.on(event, d => d.metadata?.labels?.['website'] && void enqueue(d.metadata.namespace ?? '', d.metadata.labels['website']))
}
for (const informer of [sites, deployments]) informer.on(k8s.ERROR, () => setTimeout(() => void informer.start(), 1000))

await serveWebhook(objects)
await Promise.all([sites.start(), deployments.start()])
console.log('the operator works')
