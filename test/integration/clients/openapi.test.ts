/** What kubectl does with the API's description: finding out that a kind does not exist, explaining, and (1.20) checking manifests. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'
import { define, version } from '../apiserver/define.ts'
import { runTool } from '../../fixtures/kubectl.ts'
import { hasOldKubectl, runOldKubectl } from '../../fixtures/old-kubectl.ts'

let api: ApiServerFixture
beforeAll(async () => {
  api = await startTestApiServer()
  const string = { type: 'string' }
  const crew = {
    type: 'array',
    items: { type: 'object', required: ['name'], properties: { name: string } },
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['name'],
  }
  const spec = { type: 'object', properties: { size: { type: 'integer' }, crew } }
  const schema = { openAPIV3Schema: { type: 'object', description: 'A boat.', properties: { spec } } }
  await define(api.rest, { group: 'apps.example.com', plural: 'boats', kind: 'Boat', versions: [version('v1', { schema })] })
})
afterAll(() => api?.stop())

const clients = [
  { client: '1.35', run: (args: string[], input = '') => runTool('kubectl', api.kubeconfig, args, { input }), there: true },
  { client: '1.20', run: (args: string[], input = '') => runOldKubectl(api.kubeconfig, args, { input }), there: hasOldKubectl },
]

for (const { client, run, there } of clients) {
  describe.skipIf(!there)(`kubectl ${client}`, () => {
    it('says that a kind does not exist', async () => {
      const boat = await run(['apply', '-f', '-'], 'apiVersion: v1\nkind: Ship\nmetadata: {name: x}\n')
      expect(boat).toMatchObject({ code: 1, stderr: expect.stringContaining('no matches for kind "Ship" in version "v1"') })
      const pod = await run(['apply', '-f', '-'], 'apiVersion: v9\nkind: Pod\nmetadata: {name: x}\n')
      expect(pod).toMatchObject({ code: 1, stderr: expect.stringContaining('no matches for kind "Pod" in version "v9"') })
    })
    it('explains fields below other types', async () => {
      const explained = await run(['explain', 'deployment.spec.template.spec.containers.livenessProbe.httpGet'])
      expect(explained.stderr).toBe('')
      expect(explained.stdout).toContain('Sends an HTTP GET request.')
    })
    it('applies, and applies again', async () => {
      const manifest = (value: string): string =>
        `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "cm-${client}"}\ndata: {a: "${value}"}\n`
      for (const [value, done] of [
        ['1', 'created'],
        ['1', 'unchanged'],
        ['2', 'configured'],
      ] as const)
        expect((await run(['apply', '-f', '-'], manifest(value))).stdout).toBe(`configmap/cm-${client} ${done}`)
      expect((await run(['get', 'configmap', `cm-${client}`, '-o', 'jsonpath={.data.a}'])).stdout).toBe('2')
    })
    it('applies a custom resource that was changed, and says what is wrong with it', async () => {
      const manifest = (spec: object): string =>
        JSON.stringify({ apiVersion: 'apps.example.com/v1', kind: 'Boat', metadata: { name: `boat-${client}` }, spec })
      const apply = (spec: object, ...more: string[]) => run(['apply', '-f', '-', ...more], manifest(spec))
      expect((await apply({ size: 1, crew: [{ name: 'a' }] })).stdout).toContain(' created')
      expect((await apply({ crew: [{ name: 'b' }] })).stdout).toContain(' configured')
      expect((await run(['get', 'boats', `boat-${client}`, '-o', 'jsonpath={.spec}'])).stdout).toBe('{"crew":[{"name":"b"}]}')
      const wrong = await apply({ size: 'x', crew: [] }, '--validate=false')
      expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining('spec.size in body must be of type integer') })
    })
    it('explains a custom kind down to its last field', async () => {
      const { stdout } = await run(['explain', 'boats', '--recursive'])
      expect(stdout).toContain('A boat.')
      for (const field of ['apiVersion', 'metadata', 'creationTimestamp', 'crew', 'name', 'size'])
        expect(stdout).toMatch(new RegExp(`^ +${field}\t`, 'm'))
      expect((await run(['explain', 'boats.metadata'])).stdout).toMatch(/Standard object's metadata[^]*CreationTimestamp is a timestamp/)
    })
    it('refuses unknown fields', async () => {
      const refused = await run(['apply', '-f', '-'], 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndatum: {a: b}\n')
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('unknown field "datum"') })
    })
  })
}
