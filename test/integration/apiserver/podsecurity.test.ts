/** Pod Security Standards over HTTPS: what is refused, warned about and said of namespaces. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Reply } from '../../fixtures/apiserver.ts'
import { addServiceAccount, merge } from './setup.ts'

let api: ApiServerFixture
let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cox-psa-'))
  const file = join(dir, 'admission.yaml')
  await writeFile(
    file,
    `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {audit: baseline}
    exemptions: {namespaces: [free], runtimeClasses: [sandboxed]}
`,
  )
  api = await startTestApiServer({ admissionControlConfigFile: file })
})
afterAll(async () => {
  await api?.stop()
  await rm(dir, { recursive: true, force: true })
})

const prefix = 'pod-security.kubernetes.io/'
const labelled = (labels: Record<string, string>) => Object.fromEntries(Object.entries(labels).map(([k, v]) => [`${prefix}${k}`, v]))
const namespace = async (name: string, labels: Record<string, string>): Promise<Reply> => {
  const made = await api.rest('POST', '/api/v1/namespaces', { metadata: { name, labels: labelled(labels) } })
  if (made.code === 201) await addServiceAccount(api.rest, name)
  return made
}
const pod = (ns: string, name: string, spec: object = {}): Promise<Reply> =>
  api.rest('POST', `/api/v1/namespaces/${ns}/pods`, { metadata: { name }, spec: { containers: [{ name: 'c', image: 'x' }], ...spec } })
const warnings = ({ headers }: Reply): string[] =>
  [...String(headers['warning'] ?? '').matchAll(/299 - "((?:[^"\\]|\\.)*)"/g)].map(m => m[1]!.replaceAll('\\"', '"'))

it('enforces, and warns of the same level', async () => {
  await namespace('base', { enforce: 'baseline' })
  const refused = await pod('base', 'p', { hostNetwork: true })
  expect([refused.code, refused.body.message]).toEqual([
    403,
    'pods "p" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)',
  ])
  const made = await pod('base', 'q')
  expect([made.code, warnings(made)]).toEqual([201, []])
  const ephemeral = { spec: { ephemeralContainers: [{ name: 'e', image: 'x', securityContext: { privileged: true } }] } }
  const debug = await api.rest('PATCH', '/api/v1/namespaces/base/pods/q/ephemeralcontainers', ephemeral, {
    headers: { 'content-type': 'application/strategic-merge-patch+json' },
  })
  expect(debug.body.message).toContain(
    'pods "q" is forbidden: violates PodSecurity "baseline:latest": privileged (container "e" must not set',
  )
})

it('warns of a stricter level than it enforces, and whoever makes pods of both', async () => {
  await namespace('warned', { enforce: 'baseline', warn: 'restricted', 'warn-version': 'v1.20' })
  const made = await pod('warned', 'p')
  expect([made.code, warnings(made)]).toEqual([
    201,
    [
      'would violate PodSecurity "restricted:v1.20": allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
    ],
  ])
  await namespace('strict', { enforce: 'baseline' })
  const template = { metadata: { labels: { a: 'b' } }, spec: { hostPID: true, containers: [{ name: 'c', image: 'x' }] } }
  const deployment = await api.rest('POST', '/apis/apps/v1/namespaces/strict/deployments', {
    metadata: { name: 'd' },
    spec: { selector: { matchLabels: { a: 'b' } }, template },
  })
  expect([deployment.code, warnings(deployment)]).toEqual([
    201,
    ['would violate PodSecurity "baseline:latest": host namespaces (hostPID=true)'],
  ])
})

it("checks namespaces' labels, and tells what their pods would violate", async () => {
  const wrong = await namespace('wrong', { enforce: 'strict', 'warn-version': '1.2' })
  expect([wrong.code, wrong.body.message]).toEqual([
    422,
    'Namespace "wrong" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "1.2": must be "latest" or "v1.x"]',
  ])
  await namespace('later', {})
  await pod('later', 'a', { hostNetwork: true })
  await pod('later', 'b', { hostNetwork: true })
  await pod('later', 'c')
  const change = (labels: Record<string, string>): Promise<Reply> =>
    api.rest('PATCH', '/api/v1/namespaces/later?dryRun=All', { metadata: { labels: labelled(labels) } }, merge)
  const dry = await change({ enforce: 'baseline' })
  expect([dry.code, warnings(dry)]).toEqual([
    200,
    [
      'existing pods in namespace "later" violate the new PodSecurity enforce level "baseline:latest"',
      'a (and 1 other pod): host namespaces',
    ],
  ])
  expect((await change({ enforce: 'none' })).code).toBe(422)
  expect(warnings(await change({ enforce: 'privileged' }))).toEqual([])
})

it('leaves those alone that are exempt', async () => {
  const made = await namespace('free', { enforce: 'restricted' })
  expect(warnings(made)).toEqual([
    'namespace "free" is exempt from Pod Security, and the policy (enforce=restricted:latest) will be ignored',
  ])
  expect((await pod('free', 'p', { hostNetwork: true })).code).toBe(201)
})

it('counts what it judges', async () => {
  await namespace('counted', { enforce: 'restricted', 'enforce-version': 'v1.30' })
  const count = async (labels: string) =>
    Number(
      (await api.rest('GET', '/metrics')).text
        .split('\n')
        .find(l => l.startsWith(`pod_security_${labels}`))
        ?.split(' ')[1] ?? 0,
    )
  const denied =
    'evaluations_total{decision="deny",policy_level="restricted",policy_version="v1.30",mode="enforce",request_operation="create",resource="pod",subresource=""}'
  expect(await count(denied)).toBe(0)
  await pod('counted', 'p')
  await pod('counted', 'q')
  expect(await count(denied)).toBe(2)
  const exempted = 'exemptions_total{request_operation="create",resource="pod",subresource=""}'
  const before = await count(exempted)
  expect((await pod('free', 'counted')).code).toBe(201)
  expect(await count(exempted)).toBe(before + 1)
})
