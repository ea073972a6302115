/** What Argo CD and Flux do to an API server: several appliers of one object, diffs by dry runs, pruning, charts with definitions. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Reply, type Rest } from '../../fixtures/apiserver.ts'
import { runTool } from '../../fixtures/kubectl.ts'

let api: ApiServerFixture
let rest: Rest
let dir: string
beforeAll(async () => {
  api = await startTestApiServer({ disableAdmissionPlugins: ['ServiceAccount'] })
  rest = api.rest
  dir = await mkdtemp(path.join(tmpdir(), 'cox-gitops-'))
})
afterAll(async () => {
  await api?.stop()
  await rm(dir, { recursive: true, force: true })
})

const deployments = '/apis/apps/v1/namespaces/default/deployments'
const applied = { headers: { 'content-type': 'application/apply-patch+yaml' } }
const apply = (name: string, spec: object, manager: string, more = ''): Promise<Reply> =>
  rest(
    'PATCH',
    `${deployments}/${name}?fieldManager=${manager}${more}`,
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name }, spec },
    applied,
  )
const web = (image: string, more: object = {}) => ({
  selector: { matchLabels: { app: 'web' } },
  template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web', image, ...more }] } },
})
/** Whether a manager's entry has the field at these keys of fieldsV1. */
const owns = ({ body }: Reply, manager: string, ...keys: string[]): boolean => {
  const entry = body.metadata.managedFields.find((e: { manager: string }) => e.manager === manager)
  return keys.reduce((at, key) => at?.[key], entry?.fieldsV1) !== undefined
}
const container = ['f:spec', 'f:template', 'f:spec', 'f:containers', 'k:{"name":"web"}']

describe('several managers of one Deployment', () => {
  it('share what they agree about; a conflict names the other and his fields, and force takes them', async () => {
    expect((await apply('web', { replicas: 2, ...web('a') }, 'argocd-controller')).code).toBe(201)
    const shared = await apply('web', { replicas: 2 }, 'kustomize-controller')
    expect([
      owns(shared, 'argocd-controller', 'f:spec', 'f:replicas'),
      owns(shared, 'kustomize-controller', 'f:spec', 'f:replicas'),
    ]).toEqual([true, true])
    const conflict = await apply('web', { replicas: 3 }, 'hpa')
    expect(conflict.code).toBe(409)
    expect(conflict.body.details.causes).toEqual([
      { reason: 'FieldManagerConflict', message: 'conflict with "argocd-controller"', field: '.spec.replicas' },
      { reason: 'FieldManagerConflict', message: 'conflict with "kustomize-controller"', field: '.spec.replicas' },
    ])
    const forced = await apply('web', { replicas: 3 }, 'hpa', '&force=true')
    expect(forced.body.spec.replicas).toBe(3)
    expect(['argocd-controller', 'kustomize-controller', 'hpa'].map(m => owns(forced, m, 'f:spec', 'f:replicas'))).toEqual([
      false,
      false,
      true,
    ])
  })

  it('a field that nobody applies any more goes, or is defaulted again; one that another has stays', async () => {
    await apply('handover', { replicas: 5, ...web('a', { args: ['x'] }) }, 'argocd-controller')
    await apply('handover', web('a', { args: ['x'] }), 'flux', '&force=true')
    const without = await apply('handover', web('a'), 'argocd-controller')
    expect([without.body.spec.replicas, without.body.spec.template.spec.containers[0].args]).toEqual([1, ['x']])
    const gone = await apply('handover', web('a'), 'flux')
    expect(gone.body.spec.template.spec.containers[0].args).toBeUndefined()
    expect(owns(gone, 'flux', ...container, 'f:image')).toBe(true)
  })

  it('what was applied by clients becomes server-side apply, with kubectl as with Argo CD', async () => {
    const file = path.join(dir, 'migrated.yaml')
    const text = (extra: string): string => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: migrated}\ndata: {a: "1"${extra}}\n`
    await writeFile(file, text(', b: "2"'))
    expect(await runTool('kubectl', api.kubeconfig, ['apply', '-f', file])).toMatchObject({ code: 0 })
    expect(await runTool('kubectl', api.kubeconfig, ['apply', '--server-side', '-f', file])).toMatchObject({ code: 0 })
    await writeFile(file, text(''))
    expect(await runTool('kubectl', api.kubeconfig, ['apply', '--server-side', '-f', file])).toMatchObject({ code: 0 })
    const { body } = await rest('GET', '/api/v1/namespaces/default/configmaps/migrated')
    expect(body.data).toEqual({ a: '1' })
    const entries = body.metadata.managedFields.map((e: { manager: string; operation: string }) => `${e.manager} ${e.operation}`)
    expect(entries.sort()).toEqual(['kubectl Apply', 'kubectl-last-applied Apply'])
  })
})

it('a dry run shows what an apply would give, with defaults, and changes nothing', async () => {
  const before = await apply('dry', { replicas: 2, ...web('a') }, 'argocd-controller')
  const predicted = await apply('dry', { replicas: 4, ...web('b') }, 'argocd-controller', '&force=true&dryRun=All')
  expect([predicted.code, predicted.body.spec.replicas, predicted.body.metadata.generation]).toEqual([200, 4, 2])
  expect(predicted.body.spec.template.spec.containers[0]).toMatchObject({ image: 'b', imagePullPolicy: 'Always', resources: {} })
  const after = await rest('GET', `${deployments}/dry`)
  expect(after.body).toEqual(before.body)
  const fresh = await apply('never', web('a'), 'argocd-controller', '&dryRun=All')
  expect([fresh.code, typeof fresh.body.metadata.uid]).toEqual([201, 'string'])
  expect((await rest('GET', `${deployments}/never`)).code).toBe(404)
  const file = path.join(dir, 'dry.yaml')
  await writeFile(
    file,
    JSON.stringify({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'dry' }, spec: { replicas: 2, ...web('c') } }),
  )
  const diff = await runTool('kubectl', api.kubeconfig, ['diff', '--server-side', '--field-manager=argocd-controller', '-f', file])
  expect([diff.code, diff.stdout]).toEqual([1, expect.stringContaining('+      - image: c')])
})

it('a set of applied objects is pruned by kubectl, custom ones and other namespaces too', async () => {
  const kubectl = (...args: string[]) => runTool('kubectl', api.kubeconfig, args, { env: { KUBECTL_APPLYSET: 'true' } })
  const crd = path.join(import.meta.dirname, '../../fixtures/crdchart/crds/boats.yaml')
  expect(await kubectl('apply', '-f', crd)).toMatchObject({ code: 0 })
  expect(await kubectl('wait', '--for=condition=Established', 'crd/boats.charts.example.com')).toMatchObject({ code: 0 })
  expect(await kubectl('create', 'namespace', 'pruned')).toMatchObject({ code: 0 })
  const files = {
    kept: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept}\n',
    dropped: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: dropped}\n',
    boat: 'apiVersion: charts.example.com/v1\nkind: Boat\nmetadata: {name: dropped}\nspec: {oars: 2}\n',
  }
  const file = path.join(dir, 'set.yaml')
  const applySet = async (...names: (keyof typeof files)[]): Promise<string> => {
    await writeFile(file, names.map(name => files[name]).join('---\n'))
    const ran = await kubectl('apply', '-n', 'pruned', '--prune', '--applyset=secrets/app', '-f', file)
    expect(ran, ran.stderr).toMatchObject({ code: 0 })
    return ran.stdout
  }
  await applySet('kept', 'dropped', 'boat')
  const parent = (await rest('GET', '/api/v1/namespaces/pruned/secrets/app')).body.metadata
  expect(parent.annotations['applyset.kubernetes.io/contains-group-kinds']).toBe('Boat.charts.example.com,ConfigMap')
  const member = await rest('GET', '/apis/charts.example.com/v1/namespaces/pruned/boats/dropped')
  expect(member.body.metadata.labels['applyset.kubernetes.io/part-of']).toBe(parent.labels['applyset.kubernetes.io/id'])
  const said = await applySet('kept')
  expect(said).toContain('configmap/dropped pruned')
  expect(said).toContain('boat.charts.example.com/dropped pruned')
  expect((await rest('GET', '/apis/charts.example.com/v1/namespaces/pruned/boats')).body.items).toEqual([])
  expect((await rest('GET', '/api/v1/namespaces/pruned/configmaps')).body.items.map((c: any) => c.metadata.name)).toEqual(['kept']) // any: an answer
})

it('Helm: a chart brings definitions and objects of them; upgrade, refusal, rollback, uninstall', { timeout: 90_000 }, async () => {
  const helm = (...args: string[]) => runTool('helm', api.kubeconfig, args, { timeout: 60_000 })
  const chart = path.join(import.meta.dirname, '../../fixtures/crdchart')
  const boat = async () => (await rest('GET', '/apis/charts.example.com/v1/namespaces/default/boats/ship')).body
  await rest('DELETE', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/boats.charts.example.com')
  await expect
    .poll(async () => (await rest('GET', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/boats.charts.example.com')).code)
    .toBe(404)
  const installed = await helm('install', 'ship', chart)
  expect(installed, installed.stderr).toMatchObject({ code: 0 })
  expect((await boat()).spec).toEqual({ oars: 4, hull: 'wood' })
  expect(await helm('upgrade', 'ship', chart, '--set', 'oars=8')).toMatchObject({ code: 0 })
  expect((await boat()).spec.oars).toBe(8)
  const refused = await helm('upgrade', 'ship', chart, '--set', 'oars=9')
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('spec.oars: Invalid value: 9')])
  expect(await helm('rollback', 'ship', '1')).toMatchObject({ code: 0 })
  expect((await boat()).spec.oars).toBe(4)
  expect(await helm('uninstall', 'ship')).toMatchObject({ code: 0 })
  expect((await boat()).reason).toBe('NotFound')
  // Definitions of a chart stay.
  expect((await rest('GET', '/apis/charts.example.com/v1/namespaces/default/boats')).code).toBe(200)
})
