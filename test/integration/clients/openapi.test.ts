/** What kubectl does with the API's description: finding out that a kind does not exist, explaining, and (1.20) checking manifests. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'
import { runTool } from '../../fixtures/kubectl.ts'
import { hasOldKubectl, runOldKubectl } from '../../fixtures/old-kubectl.ts'

let api: ApiServerFixture
beforeAll(async () => {
  api = await startTestApiServer()
})
afterAll(() => api?.stop())

const clients = [
  { version: '1.35', run: (args: string[], input = '') => runTool('kubectl', api.kubeconfig, args, { input }), there: true },
  { version: '1.20', run: (args: string[], input = '') => runOldKubectl(api.kubeconfig, args, { input }), there: hasOldKubectl },
]

for (const { version, run, there } of clients) {
  describe.skipIf(!there)(`kubectl ${version}`, () => {
    it('says that a kind does not exist', async () => {
      const boat = await run(['apply', '-f', '-'], 'apiVersion: v1\nkind: Boat\nmetadata: {name: x}\n')
      expect(boat).toMatchObject({ code: 1, stderr: expect.stringContaining('no matches for kind "Boat" in version "v1"') })
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
        `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "cm-${version}"}\ndata: {a: "${value}"}\n`
      for (const [value, done] of [
        ['1', 'created'],
        ['1', 'unchanged'],
        ['2', 'configured'],
      ] as const)
        expect((await run(['apply', '-f', '-'], manifest(value))).stdout).toBe(`configmap/cm-${version} ${done}`)
      expect((await run(['get', 'configmap', `cm-${version}`, '-o', 'jsonpath={.data.a}'])).stdout).toBe('2')
    })
    it('refuses unknown fields', async () => {
      const refused = await run(['apply', '-f', '-'], 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndatum: {a: b}\n')
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('unknown field "datum"') })
    })
  })
}
