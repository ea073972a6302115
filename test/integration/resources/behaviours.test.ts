/**
 * Where kinds differ in what all of them do (kubernetes test/integration/apiserver/apidefinitions): PUT of what is not there,
 * generation, what a deletion does by default, and what the status subresource lets be written.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { follow, prepare, remove, servedVersions, type ServedVersion } from './served.ts'

let api: ApiServerFixture
let rest: Rest
beforeAll(async () => {
  api = await startTestApiServer({ enablePriorityAndFairness: false, disableAdmissionPlugins: ['StorageObjectInUseProtection'] })
  rest = api.rest
  await prepare(rest)
})
afterAll(() => api?.stop())

const merge = { headers: { 'content-type': 'application/merge-patch+json' } }
const words = (text: string): Set<string> => new Set(text.split(/\s+/))

const createdByUpdate = words(`leases.coordination.k8s.io leasecandidates.coordination.k8s.io clusterrolebindings.rbac.authorization.k8s.io
  clusterroles.rbac.authorization.k8s.io endpoints events.events.k8s.io events limitranges rolebindings.rbac.authorization.k8s.io
  roles.rbac.authorization.k8s.io runtimeclasses.node.k8s.io services`)
const namedByClients = words(
  'apiservices.apiregistration.k8s.io customresourcedefinitions.apiextensions.k8s.io ipaddresses.networking.k8s.io',
)
/** Kinds with a status and no generation. */
const withoutGeneration =
  words(`horizontalpodautoscalers.autoscaling apiservices.apiregistration.k8s.io certificatesigningrequests.certificates.k8s.io namespaces nodes
  persistentvolumeclaims persistentvolumes resourceclaims.resource.k8s.io resourcequotas servicecidrs.networking.k8s.io services
  volumeattachments.storage.k8s.io`)
const orphaning = words('jobs.batch replicationcontrollers')
const withoutGarbageCollection = words('events events.events.k8s.io')
/** Kinds whose metadata is written through their status, too. */
const metadataByStatus = words(`customresourcedefinitions.apiextensions.k8s.io certificatesigningrequests.certificates.k8s.io cronjobs.batch
  daemonsets.apps horizontalpodautoscalers.autoscaling ingresses.networking.k8s.io jobs.batch namespaces nodes persistentvolumeclaims
  persistentvolumes poddisruptionbudgets.policy pods replicasets.apps replicationcontrollers resourcequotas services statefulsets.apps`)

describe.each(servedVersions.map(s => [s.title, s] as const))('%s', (_, s: ServedVersion) => {
  const { path, resource, named } = s
  const own = s.group === '' ? resource.plural : `${resource.plural}.${s.group}`
  const at = (short: string): string => `${path}/${named(short)}`
  const create = async (short: string) => {
    const { code, text, body } = await rest('POST', path, s.object(short))
    expect(code, text).toBe(201)
    if (s.settled(body)) return body
    return follow(rest, at(short), body.metadata.resourceVersion, (_type, object) => s.settled(object))
  }

  test('an update of what is not there', async () => {
    const { code } = await rest('PUT', at('put'), s.object('put'))
    expect(code === 201).toBe(createdByUpdate.has(own))
    if (code === 201) await remove(rest, at('put'))
    else expect(code).toBe(404)
  })

  test('a name of the server’s', async () => {
    const { name: _name, ...metadata } = s.object('generated').metadata
    const { code } = await rest('POST', `${path}?dryRun=All`, { ...s.object('generated'), metadata: { ...metadata, generateName: 'b-' } })
    expect(code === 201).toBe(!namedByClients.has(own))
  })

  test.runIf(resource.hasStatus)('generation, and what is written through the status', async () => {
    const made = await create('status')
    expect(made.metadata.generation).toBe(withoutGeneration.has(own) ? undefined : 1)
    const { code, text, body } = await rest('PATCH', `${at('status')}/status`, { metadata: { labels: { status: 'yes' } } }, merge)
    expect(code, text).toBe(200)
    expect(body.metadata.labels.status).toBe(metadataByStatus.has(own) ? 'yes' : undefined)
    expect(body.metadata.generation).toBe(made.metadata.generation)
    await remove(rest, at('status'))
  })

  test('deletion by default, in the foreground, and with grace', async () => {
    const deleted = async (short: string, query: string): Promise<{ finalizers: string[]; deletionGracePeriodSeconds?: number }> => {
      const made = await create(short)
      const finalizers = ['example.com/hold', ...(made.metadata.finalizers ?? [])]
      expect((await rest('PATCH', at(short), { metadata: { finalizers } }, merge)).code).toBe(200)
      const { code, text } = await rest('DELETE', `${at(short)}?${query}`)
      expect(code, text).toBeLessThan(300)
      const { metadata } = (await rest('GET', at(short))).body
      await rest('PATCH', at(short), { metadata: { finalizers: null } }, merge)
      if ((await rest('GET', at(short))).code !== 404) await remove(rest, at(short))
      return metadata
    }
    const byDefault = await deleted('gone', 'gracePeriodSeconds=30')
    expect(byDefault.finalizers.includes('orphan')).toBe(orphaning.has(own))
    expect(byDefault.finalizers).not.toContain('foregroundDeletion')
    // A pod that no node has goes at once.
    expect(byDefault.deletionGracePeriodSeconds ?? 0).toBe(0)
    const { finalizers } = await deleted('foreground', 'propagationPolicy=Foreground')
    expect(finalizers.includes('foregroundDeletion')).toBe(!withoutGarbageCollection.has(own))
  })
})
