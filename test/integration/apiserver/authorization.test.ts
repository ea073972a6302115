/** `--authorization-config` with a real webhook, and the file's being read again. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { makeAuthority, sign, type Pair } from '#shared/certificates/certificate.ts'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { startWebhook, webhookKubeconfig, type Webhook } from '../../fixtures/identityproviders.ts'
import { configMaps } from './setup.ts'

let dir: string
let authority: Pair
let webhook: Webhook
let api: ApiServerFixture
let rest: Rest
let hookFile: string
let configFile: string
const file = async (name: string, text: string): Promise<string> => {
  await writeFile(join(dir, name), text, { mode: 0o600 })
  return join(dir, name)
}
const hook = (more: object = {}) => ({
  type: 'Webhook',
  name: 'hook.example.com',
  webhook: {
    timeout: '2s',
    subjectAccessReviewVersion: 'v1',
    failurePolicy: 'Deny',
    connectionInfo: { type: 'KubeConfigFile', kubeConfigFile: hookFile },
    ...more,
  },
})
const configuration = (...authorizers: object[]) =>
  JSON.stringify({ apiVersion: 'apiserver.config.k8s.io/v1', kind: 'AuthorizationConfiguration', authorizers })
const rbac = { type: 'RBAC', name: 'rbac' }
const decisions: Record<string, object | number> = {
  friend: { allowed: true, reason: 'a friend' },
  foe: { allowed: false, denied: true, reason: 'a foe' },
  broken: 500,
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cox-authz-'))
  authority = await makeAuthority()
  const pair = await sign(authority, { commonName: 'hook', names: { dns: ['localhost'], ips: ['127.0.0.1'] } })
  webhook = await startWebhook(pair, ({ apiVersion, kind, spec }) => {
    const status = decisions[spec.user] ?? { allowed: false }
    return typeof status === 'number' ? status : { apiVersion, kind, metadata: {}, spec: {}, status }
  })
  hookFile = await file('hook.yaml', webhookKubeconfig(webhook.url, authority))
  configFile = await file('authorization.yaml', configuration({ type: 'Node', name: 'node' }, hook(), rbac))
  api = await startTestApiServer({ authorizationConfig: configFile })
  rest = api.rest
})
afterAll(async () => {
  await api?.stop()
  await webhook?.stop()
  if (dir) await rm(dir, { recursive: true })
})
beforeEach(() => void (webhook.received.length = 0))

const as = (user: string, ...groups: string[]) => ({
  headers: { 'impersonate-user': user, ...(groups.length > 0 ? { 'impersonate-group': groups.join(', ') } : {}) },
})

it('asks in turn; answers are kept, members of system:masters are not asked about', async () => {
  expect((await rest('GET', configMaps)).code).toBe(200)
  expect(webhook.received).toEqual([])
  const selected = `${configMaps}?labelSelector=a%3Db,!c&fieldSelector=metadata.name!%3Dx`
  for (let i = 0; i < 3; i++) expect((await rest('GET', selected, undefined, as('friend', 'g'))).code).toBe(200)
  expect(webhook.received).toEqual([
    {
      kind: 'SubjectAccessReview',
      apiVersion: 'authorization.k8s.io/v1',
      metadata: {},
      spec: {
        user: 'friend',
        groups: ['g', 'system:authenticated'],
        resourceAttributes: {
          namespace: 'default',
          verb: 'list',
          version: 'v1',
          resource: 'configmaps',
          fieldSelector: { requirements: [{ key: 'metadata.name', operator: 'NotIn', values: ['x'] }] },
          labelSelector: {
            requirements: [
              { key: 'a', operator: 'In', values: ['b'] },
              { key: 'c', operator: 'DoesNotExist' },
            ],
          },
        },
      },
    },
  ])
  expect((await rest('GET', '/version', undefined, as('foe'))).body).toMatchObject({
    code: 403,
    message: expect.stringMatching(/: a foe$/),
  })
  // Of whom it knows nothing, the next one says.
  expect((await rest('GET', '/version', undefined, as('ann', 'system:authenticated'))).code).toBe(200)
  expect((await rest('GET', configMaps, undefined, as('ann'))).code).toBe(403)
  const review = { spec: { user: 'friend', resourceAttributes: { verb: 'delete', resource: 'nodes' } } }
  expect((await rest('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', review)).body.status).toEqual({
    allowed: true,
    reason: 'a friend',
  })
})

it('when it fails, the policy says what then; the file is read again when it changes', async () => {
  const answer = async () => (await rest('GET', '/version', undefined, as('broken', 'system:authenticated'))).code
  expect(await answer()).toBe(403)
  expect(webhook.received).toHaveLength(5)
  const metric = async (name: string) =>
    (await rest('GET', '/metrics')).text.split('\n').filter(l => l.startsWith(`apiserver_authorization_config_controller_${name}{`))
  await writeFile(configFile, configuration(hook({ timeout: '1m' }), rbac))
  await expect.poll(() => metric('automatic_reloads_total')).toEqual([expect.stringMatching(/status="failure".* 1$/)])
  expect((await rest('GET', configMaps, undefined, as('friend'))).code).toBe(200)
  decisions['broken'] = 503
  await writeFile(configFile, configuration(hook({ failurePolicy: 'NoOpinion', subjectAccessReviewVersion: 'v1beta1' }), rbac))
  await expect.poll(answer).toBe(200)
  expect(webhook.received.at(-1)).toMatchObject({
    apiVersion: 'authorization.k8s.io/v1beta1',
    spec: { group: expect.arrayContaining(['system:authenticated']), nonResourceAttributes: { path: '/version', verb: 'get' } },
  })
  await writeFile(configFile, configuration(rbac))
  await expect.poll(async () => (await rest('GET', configMaps, undefined, as('friend'))).code).toBe(403)
  expect((await metric('automatic_reloads_total')).join()).toMatch(/status="success"[^}]*} [1-9]/)
})

it('is asked what its conditions let through', async () => {
  const matchConditions = [
    { expression: 'has(request.resourceAttributes)' },
    { expression: "request.resourceAttributes.namespace == 'default' && !('exempt' in request.groups)" },
    { expression: "request.user != 'odd' || request.extra['missing'].size() > 0" },
  ]
  const conditional = hook({ matchConditions, matchConditionSubjectAccessReviewVersion: 'v1' })
  await writeFile(configFile, configuration(conditional, rbac))
  const get = async (path: string, ...who: [string, ...string[]]) => (await rest('GET', path, undefined, as(...who))).code
  await expect.poll(() => get(configMaps, 'friend')).toBe(200)
  webhook.received.length = 0
  expect(await get('/api/v1/nodes', 'friend')).toBe(403)
  expect(await get('/version', 'friend', 'system:authenticated')).toBe(200)
  expect(await get(configMaps, 'friend', 'exempt')).toBe(403)
  // What cannot be decided is a failure.
  expect(await get(configMaps, 'odd', 'system:masters')).toBe(200)
  expect(await get(configMaps, 'odd')).toBe(403)
  expect(webhook.received).toEqual([])
  expect(await get(`${configMaps}/x`, 'foe')).toBe(403)
  expect(webhook.received).toHaveLength(1)
  const { text } = await rest('GET', '/metrics')
  const count = (name: string, labels: string) =>
    Number(
      text
        .split('\n')
        .find(l => l.startsWith(`apiserver_authorization_${name}{${labels}}`))
        ?.split(' ')[1],
    )
  expect(count('decisions_total', 'type="Webhook",name="hook.example.com",decision="denied"')).toBeGreaterThan(0)
  expect(count('decisions_total', 'type="RBAC",name="rbac",decision="allowed"')).toBeGreaterThan(0)
  expect(count('webhook_evaluations_total', 'name="hook.example.com",result="success"')).toBeGreaterThan(0)
  expect(count('webhook_evaluations_total', 'name="hook.example.com",result="error"')).toBeGreaterThan(0)
  expect(count('match_condition_exclusions_total', 'type="Webhook",name="hook.example.com"')).toBeGreaterThan(2)
  expect(count('match_condition_evaluation_errors_total', 'type="Webhook",name="hook.example.com"')).toBe(1)
})

it('flags name a webhook too; what is wrong is told at the start', async () => {
  const start = (more: object) => api.startAnother({ authorizationConfig: undefined, ...more })
  const flags = await start({ authorizationMode: ['RBAC', 'Webhook'], authorizationWebhookConfigFile: hookFile })
  expect((await flags.rest('GET', configMaps, undefined, as('friend'))).code).toBe(200)
  await expect(start({ authorizationMode: ['Webhook'] })).rejects.toThrow('config file not passed')
  await expect(start({ authorizationConfig: configFile, authorizationMode: ['RBAC'] })).rejects.toThrow('can not be specified when')
  const wrong = async (...authorizers: object[]) =>
    start({ authorizationConfig: await file('wrong.yaml', configuration(...authorizers)) }).then(
      () => '',
      (e: Error) => e.message,
    )
  expect(await wrong()).toContain('authorizers: Required value: at least one authorization mode must be defined')
  expect(await wrong(rbac, { ...rbac, name: 'again' })).toContain('authorizers[1].type: Duplicate value: "RBAC"')
  expect(await wrong({ type: 'Alien', name: 'a' })).toContain('supported values: "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"')
  expect(await wrong({ type: 'Webhook', name: 'UPPER' })).toMatch(
    /authorizers\[0\].name: Invalid value.*authorizers\[0\].webhook: Required value/,
  )
  expect(await wrong(hook({ connectionInfo: { type: 'KubeConfigFile', kubeConfigFile: 'relative' } }))).toContain(
    'must be an absolute path',
  )
  const condition = { expression: 'request.nonsense == 1' }
  expect(await wrong(hook({ matchConditions: [condition] }))).toMatch(
    /matchConditionSubjectAccessReviewVersion: Required value.*matchConditions\[0\].expression: Invalid value.*undefined field 'nonsense'/s,
  )
  expect(await wrong(hook({ connectionInfo: { type: 'InClusterConfig' } }))).toContain('not allowed for kube-apiserver')
})
