/** `--controllers`: what a controller that is off would have done is not done, and is when that one alone is on. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as kinds from '#shared/api/kinds.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { chosen, defaultSettings, runControllers } from '#control-plane/controller-manager/controllers.ts'
import { quiet, startControl, until, type Control } from './setup.ts'

const ns = 'off'
let c: Control
let stop = new AbortController()
let done: Promise<void> = Promise.resolve()
async function run(...names: string[]): Promise<void> {
  await end()
  stop = new AbortController()
  const settings = { ...defaultSettings, rootCa: 'CA', podQuarantineMs: 100 }
  done = runControllers(await c.managerClient(), settings, stop.signal, quiet, { which: chosen(names) })
}
async function end(): Promise<void> {
  stop.abort()
  await done
}
beforeAll(async () => {
  c = await startControl()
})
afterAll(async () => {
  await end()
  await c?.stop()
})

// any: kinds of all sorts, here and below
const create = (kind: Kind<any>, object: object, namespace = ns): Promise<KubeObject> =>
  c.client.create(kind, kind.namespaced ? namespace : '', object)
const get = (kind: Kind<any>, name: string, namespace = ns): Promise<any> =>
  c.client.get(kind, kind.namespaced ? namespace : '', name).catch((e: unknown) => (isNotFound(e) ? undefined : Promise.reject(e)))
const podOf = async (owner: string): Promise<boolean> =>
  (await c.client.list<KubeObject>(kinds.pods as never, ns)).items.some(p => p.metadata.ownerReferences?.[0]?.name === owner)
const template = (app: string, spec: object = {}) => ({
  metadata: { labels: { app } },
  spec: { containers: [{ name: 'c', image: 'busybox' }], ...spec },
})
const workload = (app: string, more: object = {}) => ({
  metadata: { name: app },
  spec: { replicas: 1, selector: { matchLabels: { app } }, template: template(app), ...more },
})
const claim = (name: string, more: object = {}) => ({
  metadata: { name },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, storageClassName: '', ...more },
})
const pod = (name: string, spec: object = {}) => ({ metadata: { name }, spec: { ...template(name).spec, ...spec } })

/** What gives a controller something to do, and whether it has done it. */
const table: Record<string, { give: () => Promise<unknown>; isDone: () => Promise<boolean> }> = {
  'replicaset-controller': { give: () => create(kinds.replicaSets, workload('rs')), isDone: () => podOf('rs') },
  'replicationcontroller-controller': {
    give: () => create(kinds.replicationControllers, workload('rc', { selector: { app: 'rc' } })),
    isDone: () => podOf('rc'),
  },
  'deployment-controller': {
    give: () => create(kinds.deployments, workload('deployment')),
    isDone: async () => (await c.client.list(kinds.replicaSets, ns, { labelSelector: 'app=deployment' })).items.length > 0,
  },
  'daemonset-controller': {
    // The node is not ready.
    give: () =>
      create(
        kinds.daemonSets,
        workload('daemons', { replicas: undefined, template: template('daemons', { tolerations: [{ operator: 'Exists' }] }) }),
      ),
    isDone: () => podOf('daemons'),
  },
  'statefulset-controller': {
    give: () => create(kinds.statefulSets, workload('members', { serviceName: 'members' })),
    isDone: () => podOf('members'),
  },
  'job-controller': {
    give: () => create(kinds.jobs, { metadata: { name: 'job' }, spec: { template: template('job', { restartPolicy: 'Never' }) } }),
    isDone: () => podOf('job'),
  },
  'cronjob-controller': {
    give: () =>
      create(kinds.cronJobs, {
        metadata: { name: 'cron' },
        spec: {
          schedule: '* * * * *',
          suspend: true,
          jobTemplate: { spec: { template: template('cron', { restartPolicy: 'Never' }) } },
        },
      }).then(async cron => {
        const status = { active: [{ apiVersion: 'batch/v1', kind: 'Job', namespace: ns, name: 'gone', uid: 'gone' }] }
        await c.client.update(kinds.cronJobs, { ...cron, status } as never, 'status')
      }),
    // The job that it has active is not there.
    isDone: async () => !(await get(kinds.cronJobs, 'cron')).status?.active?.length,
  },
  'ttl-after-finished-controller': {
    give: async () => {
      const job = await create(kinds.jobs, {
        metadata: { name: 'ended' },
        spec: { suspend: true, ttlSecondsAfterFinished: 0, template: template('ended', { restartPolicy: 'Never' }) },
      })
      const at = new Date(Date.now() - 1000).toISOString()
      const condition = (type: string) => ({ type, status: 'True', lastTransitionTime: at, lastProbeTime: at })
      const conditions = [condition('FailureTarget'), condition('Failed')]
      await c.client.update(kinds.jobs, { ...job, status: { startTime: at, conditions } } as never, 'status')
    },
    // In the foreground: the garbage collector has the last word.
    isDone: async () => (await get(kinds.jobs, 'ended'))?.metadata.deletionTimestamp !== undefined,
  },
  'endpoints-controller': {
    give: () => create(kinds.services, { metadata: { name: 'service' }, spec: { selector: { app: 'x' }, ports: [{ port: 80 }] } }),
    isDone: async () => (await get(kinds.endpoints, 'service')) !== undefined,
  },
  'endpointslice-controller': {
    give: () => create(kinds.services, { metadata: { name: 'sliced' }, spec: { selector: { app: 'x' }, ports: [{ port: 80 }] } }),
    isDone: async () =>
      (await c.client.list(kinds.endpointSlices, ns, { labelSelector: 'kubernetes.io/service-name=sliced' })).items.length > 0,
  },
  'garbage-collector-controller': {
    give: () =>
      create(kinds.configMaps, {
        metadata: { name: 'dependent', ownerReferences: [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: 'no-such-uid' }] },
      }),
    isDone: async () => (await get(kinds.configMaps, 'dependent')) === undefined,
  },
  'resourcequota-controller': {
    give: () => create(kinds.resourceQuotas, { metadata: { name: 'quota' }, spec: { hard: { secrets: '5' } } }),
    isDone: async () => (await get(kinds.resourceQuotas, 'quota')).status?.used?.secrets !== undefined,
  },
  'disruption-controller': {
    give: () => create(kinds.podDisruptionBudgets, { metadata: { name: 'budget' }, spec: { minAvailable: 1, selector: {} } }),
    isDone: async () => (await get(kinds.podDisruptionBudgets, 'budget')).status?.observedGeneration !== undefined,
  },
  'clusterrole-aggregation-controller': {
    give: async () => {
      const rules = [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }]
      await create(kinds.clusterRoles, { metadata: { name: 'part', labels: { whole: 'yes' } }, rules })
      await create(kinds.clusterRoles, {
        metadata: { name: 'whole' },
        aggregationRule: { clusterRoleSelectors: [{ matchLabels: { whole: 'yes' } }] },
      })
    },
    isDone: async () => ((await get(kinds.clusterRoles, 'whole')).rules ?? []).length > 0,
  },
  'ttl-controller': {
    give: () => create(kinds.nodes, { metadata: { name: 'n1' } }),
    isDone: async () => 'node.alpha.kubernetes.io/ttl' in ((await get(kinds.nodes, 'n1')).metadata.annotations ?? {}),
  },
  'pod-garbage-collector-controller': {
    give: () => create(kinds.pods, pod('lost', { nodeName: 'no-such-node' })),
    isDone: async () => (await get(kinds.pods, 'lost')) === undefined,
  },
  'persistentvolumeclaim-protection-controller': {
    give: async () => {
      await create(kinds.persistentVolumeClaims, claim('unused'))
      await c.client.delete(kinds.persistentVolumeClaims, ns, 'unused')
    },
    isDone: async () => (await get(kinds.persistentVolumeClaims, 'unused')) === undefined,
  },
  'persistentvolume-protection-controller': {
    give: async () => {
      const spec = { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteMany'], hostPath: { path: '/x' } }
      await create(kinds.persistentVolumes, { metadata: { name: 'going' }, spec })
      await c.client.delete(kinds.persistentVolumes, '', 'going')
    },
    isDone: async () => (await get(kinds.persistentVolumes, 'going')) === undefined,
  },
  'persistentvolume-binder-controller': {
    give: async () => {
      const spec = { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/x' } }
      await create(kinds.persistentVolumes, { metadata: { name: 'volume' }, spec })
      await create(kinds.persistentVolumeClaims, claim('claim', { volumeName: 'volume' }))
    },
    isDone: async () => (await get(kinds.persistentVolumeClaims, 'claim')).status?.phase === 'Bound',
  },
  'ephemeral-volume-controller': {
    give: () => {
      const volumes = [{ name: 'v', ephemeral: { volumeClaimTemplate: { spec: claim('').spec } } }]
      return create(kinds.pods, pod('scratch', { volumes }))
    },
    isDone: async () => (await get(kinds.persistentVolumeClaims, 'scratch-v')) !== undefined,
  },
  'resourceclaim-controller': {
    give: async () => {
      const spec = { spec: { devices: { requests: [{ name: 'r', exactly: { deviceClassName: 'none' } }] } } }
      await create(kinds.resourceClaimTemplates, { metadata: { name: 'template' }, spec })
      await create(kinds.pods, pod('device', { resourceClaims: [{ name: 'r', resourceClaimTemplateName: 'template' }] }))
    },
    isDone: async () => ((await get(kinds.pods, 'device')).status?.resourceClaimStatuses ?? []).length > 0,
  },
  'horizontal-pod-autoscaler-controller': {
    give: () =>
      create(kinds.horizontalPodAutoscalers, {
        metadata: { name: 'hpa' },
        spec: { maxReplicas: 2, scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'deployment' } },
      }),
    isDone: async () => ((await get(kinds.horizontalPodAutoscalers, 'hpa')).status?.conditions ?? []).length > 0,
  },
  'namespace-controller': {
    give: async () => {
      await create(kinds.namespaces, { metadata: { name: 'doomed' } })
      await c.client.delete(kinds.namespaces, '', 'doomed')
    },
    isDone: async () => (await get(kinds.namespaces, 'doomed')) === undefined,
  },
}
const names = Object.keys(table)

test('all of them off: nothing is done', async () => {
  await run('*', ...names.map(name => `-${name}`))
  const account = (namespace: string) => until('a service account', () => get(kinds.serviceAccounts, 'default', namespace))
  await create(kinds.namespaces, { metadata: { name: ns } })
  await account(ns)
  for (const name of names) await table[name]!.give()
  // Controllers that are on have seen what came last.
  await create(kinds.namespaces, { metadata: { name: 'last' } })
  await account('last')
  const busy: string[] = []
  for (const name of names) if (await table[name]!.isDone()) busy.push(name)
  expect(busy).toEqual([])
}, 60_000)

test.for(names)('%s alone', { timeout: 60_000 }, async name => {
  await run(name)
  await until(name, table[name]!.isDone)
})
