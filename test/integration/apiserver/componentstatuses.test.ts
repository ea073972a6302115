import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'
import { runTool } from '../../fixtures/kubectl.ts'

let api: ApiServerFixture
beforeAll(async () => {
  api = await startTestApiServer()
})
afterAll(() => api?.stop())

const path = '/api/v1/componentstatuses'

it('the components are asked how they are, each by itself; nothing is written', async () => {
  const all = await api.rest('GET', path)
  expect(all.headers['warning']).toContain('v1 ComponentStatus is deprecated in v1.19+')
  expect(all.body).toMatchObject({ kind: 'ComponentStatusList', apiVersion: 'v1' })
  const names = all.body.items.map((i: { metadata: { name: string } }) => i.metadata.name)
  expect(names).toEqual(['scheduler', 'controller-manager', 'etcd-0'])
  expect((await api.rest('GET', `${path}/etcd-0`)).body).toEqual({
    kind: 'ComponentStatus',
    apiVersion: 'v1',
    metadata: { name: 'etcd-0' },
    conditions: [{ type: 'Healthy', status: 'True', message: 'ok' }],
  })
  expect((await api.rest('GET', `${path}/nobody`)).body).toMatchObject({ code: 500, message: 'Component not found: nobody' })
  expect((await api.rest('POST', path, {})).code).toBe(405)
  expect((await api.rest('GET', `${path}?fieldSelector=metadata.name%3Detcd-0`)).body.items).toHaveLength(1)
})

it('kubectl shows them in a table', async () => {
  const { stdout } = await runTool('kubectl', api.kubeconfig, ['get', 'cs', 'etcd-0'])
  expect(stdout).toMatch(/^NAME +STATUS +MESSAGE +ERROR *\netcd-0 +Healthy +ok/)
})
