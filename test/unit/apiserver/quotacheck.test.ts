import { expect, it } from 'vitest'
import { AdmissionRequest } from '#control-plane/apiserver/admission/admission.ts'
import { checkRequest, type LimitedResource, type Running } from '#control-plane/apiserver/admission/quotacheck.ts'
import { targetOfKind } from '#control-plane/apiserver/admission/target.ts'
import type { ResourceQuota } from '#shared/api/core/resourcequota.ts'
import { evaluatorOf } from '#shared/quota/evaluator.ts'

type Amounts = Record<string, string>
const quota = (name: string, hard: Amounts, used: Amounts, spec: Partial<ResourceQuota['spec']> = {}): Running => ({
  quota: { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name, namespace: 'n' }, spec: { hard, ...spec }, status: { hard, used } },
  used,
})
const kinds = { pods: 'Pod', services: 'Service', persistentvolumeclaims: 'PersistentVolumeClaim' } as const
function check(
  plural: keyof typeof kinds,
  object: object,
  quotas: Running[],
  { old, limited = [] }: { old?: object; limited?: LimitedResource[] } = {},
): (Amounts | string)[] {
  const kind = kinds[plural]
  const whole = (o: object) => ({ apiVersion: 'v1', kind, metadata: { name: 'x', namespace: 'n' }, ...o })
  const a = new AdmissionRequest({
    operation: old ? 'UPDATE' : 'CREATE',
    target: targetOfKind({ group: '', version: 'v1', kind, plural }),
    subresource: '',
    namespace: 'n',
    name: 'x',
    object: whole(object),
    old: old && whole(old),
    by: { user: { name: 'u', groups: [] }, dryRun: false },
  })
  try {
    return checkRequest(quotas, a, evaluatorOf({ group: '', plural })!, limited).map(q => q.used)
  } catch (e) {
    return [(e as Error).message]
  }
}
const pod = (cpu?: string, spec: object = {}) => ({
  spec: { containers: [{ name: 'c', ...(cpu ? { resources: { requests: { cpu } } } : {}) }], ...spec },
})
const forbidden = (why: string): string => `pods "x" is forbidden: ${why}`

it('what fits is charged to every quota that counts it', () => {
  const quotas = [
    quota('a', { pods: '2', secrets: '1' }, { pods: '1', secrets: '0' }),
    quota('b', { 'requests.cpu': '1' }, { 'requests.cpu': '0' }),
    quota('c', { secrets: '1' }, { secrets: '1' }),
  ]
  expect(check('pods', pod('300m'), quotas)).toEqual([{ pods: '2', secrets: '0' }, { 'requests.cpu': '300m' }, { secrets: '1' }])
})
it('what does not is refused with the amounts', () => {
  expect(
    check('pods', pod('2'), [quota('a', { pods: '1', 'requests.cpu': '1', cpu: '9' }, { pods: '1', 'requests.cpu': '500m', cpu: '1' })]),
  ).toEqual([
    forbidden('exceeded quota: a, requested: pods=1,requests.cpu=2, used: pods=1,requests.cpu=500m, limited: pods=1,requests.cpu=1'),
  ])
})
it('containers must say what they use, and the usage must be known', () => {
  expect(check('pods', pod(), [quota('a', { cpu: '1' }, { cpu: '0' })])).toEqual([forbidden('failed quota: a: must specify cpu for: c')])
  expect(check('pods', pod('1'), [quota('a', { pods: '1', cpu: '1' }, {})])).toEqual([
    forbidden('status unknown for quota: a, resources: cpu,pods'),
  ])
})
it('of a change only what is more counts', () => {
  const service = (type: string, n = 1) => ({ spec: { type, ports: Array.from({ length: n }, (_, i) => ({ port: i + 1 })) } })
  const quotas = [quota('a', { services: '1', 'services.nodeports': '2' }, { services: '1', 'services.nodeports': '1' })]
  expect(check('services', service('NodePort', 2), quotas, { old: service('NodePort') })).toEqual([
    { services: '1', 'services.nodeports': '2' },
  ])
  expect(check('services', service('ClusterIP'), quotas, { old: service('NodePort') })).toEqual([
    { services: '1', 'services.nodeports': '1' },
  ])
  expect(check('services', service('NodePort', 3), quotas, { old: service('ClusterIP') })).toEqual([
    'services "x" is forbidden: exceeded quota: a, requested: services.nodeports=3, used: services.nodeports=1, limited: services.nodeports=2',
  ])
})
it('scopes say whom a quota counts; a change into a scope counts as a whole', () => {
  const deadline = { activeDeadlineSeconds: 5 }
  const quotas = [
    quota('t', { pods: '5' }, { pods: '0' }, { scopes: ['Terminating'] }),
    quota('n', { pods: '5' }, { pods: '0' }, { scopes: ['NotTerminating'] }),
  ]
  expect(check('pods', pod('1', deadline), quotas)).toEqual([{ pods: '1' }, { pods: '0' }])
  const gold = [
    quota(
      'g',
      { 'requests.storage': '5Gi' },
      { 'requests.storage': '1Gi' },
      { scopeSelector: { matchExpressions: [{ scopeName: 'VolumeAttributesClass', operator: 'In', values: ['gold'] }] } },
    ),
  ]
  const claim = (volumeAttributesClassName: string) => ({
    spec: { volumeAttributesClassName, resources: { requests: { storage: '2Gi' } } },
  })
  expect(check('persistentvolumeclaims', claim('gold'), gold, { old: claim('iron') })).toEqual([{ 'requests.storage': '3Gi' }])
  expect(check('persistentvolumeclaims', claim('gold'), gold, { old: claim('gold') })).toEqual([{ 'requests.storage': '1Gi' }])
})
it('what is limited by configuration needs a quota', () => {
  const limited: LimitedResource[] = [{ resource: 'pods', matchContains: ['cpu'] }]
  expect(check('pods', pod('1'), [], { limited })).toEqual([forbidden('insufficient quota to consume: cpu,requests.cpu')])
  expect(check('pods', pod(), [], { limited })).toEqual([])
  const scoped: LimitedResource[] = [{ resource: 'pods', matchScopes: [{ scopeName: 'PriorityClass', operator: 'In', values: ['high'] }] }]
  const high = pod('1', { priorityClassName: 'high' })
  expect(check('pods', high, [], { limited: scoped })).toEqual(['insufficient quota to match these scopes: [{PriorityClass In [high]}]'])
  const covering = quota(
    'q',
    { pods: '1' },
    { pods: '0' },
    { scopeSelector: { matchExpressions: [{ scopeName: 'PriorityClass', operator: 'In', values: ['high'] }] } },
  )
  expect(check('pods', high, [covering], { limited: scoped })).toEqual([{ pods: '1' }])
})
