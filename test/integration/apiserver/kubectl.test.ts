/**
 * The real kubectl against the API alone: what it sends (protobuf, patches, tables, aggregated discovery) and what it makes of the answers.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'
import { runTool } from '../../fixtures/kubectl.ts'
import { addServiceAccount } from './setup.ts'

let api: ApiServerFixture
beforeAll(async () => {
  api = await startTestApiServer()
  await addServiceAccount(api.rest)
})
afterAll(() => api?.stop())

const kubectl = async (...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await runTool('kubectl', api.kubeconfig, args)
  expect(code, `${args.join(' ')}: ${stderr}`).toBe(0)
  return stdout
}
const file = async (name: string, text: string): Promise<string> => {
  const path = join(api.kubeconfig, '..', name)
  await writeFile(path, text)
  return path
}

it('creates from typed objects, which it sends as protobuf', async () => {
  await kubectl('create', 'configmap', 'cm', '--from-literal=a=1')
  await kubectl('create', 'secret', 'generic', 's', '--from-literal=p=q')
  await kubectl('create', 'deployment', 'web', '--image=nginx', '--replicas=2', '--port=8080')
  await kubectl('expose', 'deployment', 'web', '--port=80', '--target-port=8080', '--type=NodePort')
  expect(await kubectl('get', 'secret', 's', '-o', 'jsonpath={.data.p}')).toBe('cQ==')
  expect(
    await kubectl(
      'get',
      'deployment',
      'web',
      '-o',
      'jsonpath={.spec.template.spec.containers[0].ports[0].containerPort} {.spec.strategy.rollingUpdate.maxSurge}',
    ),
  ).toBe('8080 25%')
  expect(await kubectl('get', 'service', 'web')).toMatch(/web +NodePort +10\.96\.\d+\.\d+ +<none> +80:3\d{4}\/TCP/)
  expect(await kubectl('create', 'token', 'default')).toMatch(/^ey.*\..*\./)
})

it('applies, diffs, labels, patches, scales and deletes', async () => {
  const manifest = (value: string) =>
    `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied, labels: {l: "1"}}\ndata: {a: "${value}", b: x}\n`
  const path = await file('applied.yaml', manifest('1'))
  expect(await kubectl('apply', '-f', path)).toBe('configmap/applied created')
  expect(await kubectl('apply', '-f', path)).toBe('configmap/applied unchanged')
  await file('applied.yaml', manifest('2').replace(', b: x', ''))
  expect((await runTool('kubectl', api.kubeconfig, ['diff', '-f', path])).stdout).toMatch(/-  a: "1"\n-  b: x\n\+  a: "2"/)
  expect(await kubectl('apply', '-f', path)).toBe('configmap/applied configured')
  expect(await kubectl('get', 'cm', 'applied', '-o', 'jsonpath={.data}')).toBe('{"a":"2"}')
  await kubectl('label', 'cm', 'applied', 'l=2', '--overwrite')
  await kubectl('annotate', 'cm', 'applied', 'n=m')
  expect(await kubectl('get', 'cm', '-l', 'l=2', '-o', 'name')).toBe('configmap/applied')
  await kubectl('scale', 'deployment', 'web', '--replicas=5')
  await kubectl('set', 'image', 'deployment/web', 'nginx=redis')
  expect(await kubectl('get', 'deployment', 'web', '-o', 'jsonpath={.spec.replicas} {.spec.template.spec.containers[0].image}')).toBe(
    '5 redis',
  )
  expect(await kubectl('replace', '-f', path)).toBe('configmap/applied replaced')
  expect(await kubectl('delete', '-f', path)).toContain('configmap "applied" deleted')
})

it('finds its way: api-resources, explain, describe, version', async () => {
  expect(await kubectl('api-resources')).toMatch(/deployments +deploy +apps\/v1 +true +Deployment/)
  expect(await kubectl('explain', 'pod.spec.containers.livenessProbe')).toContain('httpGet')
  expect(await kubectl('describe', 'deployment', 'web')).toMatch(/StrategyType: +RollingUpdate/)
  expect(await kubectl('version')).toContain('Server Version: v1.35.0')
  expect(await kubectl('get', '--raw', '/readyz?verbose')).toContain('readyz check passed')
})

it('says what is wrong as it does elsewhere', async () => {
  const wrong = async (...args: string[]) => (await runTool('kubectl', api.kubeconfig, args)).stderr
  expect(await wrong('get', 'pod', 'nothing')).toBe('Error from server (NotFound): pods "nothing" not found')
  expect(await wrong('get', 'unicorns')).toBe(`error: the server doesn't have a resource type "unicorns"`)
  const path = await file(
    'bad.yaml',
    'apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec: {containers: [{name: c, image: i, colour: red}]}\n',
  )
  expect(await wrong('apply', '-f', path)).toContain('strict decoding error: unknown field "spec.containers[0].colour"')
  expect(await wrong('delete', 'ns', 'default')).toContain('namespaces "default" is forbidden: this namespace may not be deleted')
})

it('shows what the server warns of', async () => {
  const path = await file(
    'warned.yaml',
    [
      'apiVersion: v1',
      'kind: Pod',
      'metadata: {name: w}',
      'spec:',
      '  nodeSelector: {beta.kubernetes.io/os: linux}',
      '  containers:',
      '  - {name: a, image: busybox, env: [{name: A, value: b}, {name: A, value: c}]}',
      '',
    ].join('\n'),
  )
  const { code, stderr } = await runTool('kubectl', api.kubeconfig, ['create', '--dry-run=server', '-f', path])
  expect({ code, lines: stderr.trim().split('\n') }).toEqual({
    code: 0,
    lines: [
      'Warning: spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
      'Warning: spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
    ],
  })
})
