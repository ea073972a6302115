/**
 * Creates of pods over HTTPS, 16 in flight, on an API server of its own: without admission policies, with five that are for other kinds,
 * and under five that look at every pod (two rules each, a variable, and one that adds a label).
 */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import {
  mutatingAdmissionPolicies,
  mutatingAdmissionPolicyBindings,
  namespaces,
  pods,
  serviceAccounts,
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
} from '#shared/api/kinds.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { aloneApiServer } from './alone.ts'
import type { LocalMeasurement, Row } from './measurement.ts'
import { stored } from './pods.ts'
import { ratePerSecond } from './statistics.ts'

const [seconds, width, count] = [3, 16, 5]
const namespace = 'bench'

const matchConstraints = (resource: string) => ({
  resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: [resource] }],
})
const validating = (resource: string) => ({
  matchConstraints: matchConstraints(resource),
  variables: [{ name: 'all', expression: 'object.spec.containers + object.spec.?initContainers.orValue([])' }],
  validations: [
    { expression: 'variables.all.all(c, has(c.image) && c.image.size() < 200)' },
    { expression: '!has(object.spec.hostNetwork) || !object.spec.hostNetwork', message: 'no host network' },
  ],
})
const mutating = (resource: string) => ({
  matchConstraints: matchConstraints(resource),
  mutations: [
    { patchType: 'ApplyConfiguration', applyConfiguration: { expression: 'Object{metadata: Object.metadata{labels: {"judged": "yes"}}}' } },
  ],
  reinvocationPolicy: 'Never',
})

export const measurePolicies: LocalMeasurement = async () => {
  const server = await aloneApiServer()
  try {
    await server.start()
    const { client } = server
    const create = (kind: Kind<any>, ns: string, name: string, more: object = {}) =>
      // any: of several kinds
      client.create<KubeObject>(kind, ns, { metadata: { name }, ...more } as KubeObject)
    await create(namespaces, '', namespace)
    await create(serviceAccounts, namespace, 'default')
    let made = 0
    const creates = (): Promise<number> =>
      ratePerSecond(seconds, width, () => {
        const name = `pod-${made++}`
        return client.create(pods, namespace, stored(namespace, name) as Pod)
      })
    const policies = async (resource: string): Promise<void> => {
      for (let i = 1; i < count; i++) await create(validatingAdmissionPolicies, '', `${resource}-${i}`, { spec: validating(resource) })
      await create(mutatingAdmissionPolicies, '', resource, { spec: mutating(resource) })
      for (let i = 1; i < count; i++)
        await create(validatingAdmissionPolicyBindings, '', `${resource}-${i}`, {
          spec: { policyName: `${resource}-${i}`, validationActions: ['Deny'] },
        })
      await create(mutatingAdmissionPolicyBindings, '', resource, { spec: { policyName: resource } })
    }
    await creates()
    const bare = await creates()
    await policies('secrets')
    const others = await creates()
    await policies('pods')
    await creates()
    const judged = await creates()
    const row = (name: string, value: number): Row => ({ name, unit: '/s', value, floor: bare, floorName: 'no policy at all' })
    return [
      { name: 'admission: create pod, no policy', unit: '/s', value: bare },
      row(`admission: create pod, ${count} policies for other kinds`, others),
      row(`admission: create pod under ${count} policies`, judged),
    ]
  } finally {
    await server.close()
  }
}
