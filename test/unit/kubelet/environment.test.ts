import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import type { Secret } from '#shared/api/core/secret.ts'
import type { Service } from '#shared/api/core/service.ts'
import { parseEnvFile } from '#node-agent/kubelet/container/envfile.ts'
import { environment } from '#node-agent/kubelet/container/environment.ts'
import { expand } from '#node-agent/kubelet/container/expansion.ts'
import { fieldValue, resourceValue } from '#node-agent/kubelet/container/fieldref.ts'
import { serviceEnvironment } from '#node-agent/kubelet/container/serviceenv.ts'
import { commandLine, verifyNonRoot } from '#node-agent/kubelet/container/spec.ts'
import { container, newPod } from './pods.ts'

const facts = { hostIP: '10.0.0.1', podIP: '10.0.0.5', allocatable: { cpu: '2', memory: '1Gi' } }
const base = { apiVersion: 'v1', metadata: {} }
const sources = {
  configMap: async (name: string) =>
    name === 'cm' ? ({ ...base, kind: 'ConfigMap', data: { k: 'v', 'a.b': 'dots' } } as ConfigMap) : undefined,
  secret: async (name: string) =>
    name === 's' ? ({ ...base, kind: 'Secret', data: { k: Buffer.from('hidden').toString('base64') } } as Secret) : undefined,
  file: async (volume: string, path: string) => (volume === 'v' && path === 'a.env' ? "# of v\nK='v'\n" : undefined),
}
const env = async (more: object, services = new Map<string, string>()) =>
  Object.fromEntries(await environment(newPod(), container('a', more), services, sources, facts))

describe('a file of variables', () => {
  test.each([
    ["K='v'", 'v'],
    ["# K='no'\n\n  K='v # not a comment'  ", 'v # not a comment'],
    ["K='v' # a comment", 'v'],
    ["M='one\n  two=2\n'\nK='$(X) \\n \"q\" '", '$(X) \\n "q" '],
    ["K='a\r\n\nb'\r\n", 'a\n\nb'],
    ["K='first'\nK='second'", 'first'],
    ["K='v'\nnonsense", 'v'],
    ["OTHER='v'", undefined],
    ["K= 'v'", undefined],
    ["K=''", ''],
    ['', undefined],
  ])('%j', (text, expected) => expect(parseEnvFile(text, 'K')).toBe(expected))
  test.each([
    ['K=v', 'at line 1: value must be enclosed in single quotes'],
    ['K="v"', 'at line 1: value must be enclosed in single quotes'],
    ["A='1'\nK ='v'", "at line 2: whitespace before '=' is not allowed"],
    ["A='1'\nK='a''b'", 'at line 2: unexpected content after closing quote'],
    ["K='a\nB='c'", 'at line 2: unexpected content after closing quote'],
    ["K='a'$B", 'at line 1: unexpected content after closing quote'],
    ["A='1'\nK='a\n", 'starting at line 2: unclosed single quote'],
    ["='a'", 'at line 1: empty variable name'],
    ["A='1\n2'\nK", "at line 3: missing '='"],
  ])('%j is refused', (text, why) => expect(() => parseEnvFile(text, 'K')).toThrow(`invalid environment variable format ${why}`))
  const fileKeyRef = (more: object) => ({
    env: [{ name: 'E', valueFrom: { fileKeyRef: { volumeName: 'v', path: 'a.env', key: 'K', ...more } } }],
  })
  test('of a volume', async () => {
    expect(await env(fileKeyRef({}))).toEqual({ E: 'v' })
    await expect(env(fileKeyRef({ key: 'L' }))).rejects.toThrow('environment variable key "L" not found in file "a.env"')
    await expect(env(fileKeyRef({ path: 'b.env' }))).rejects.toThrow('couldn\'t parse env file: "b.env" is not in volume "v"')
    expect(await env(fileKeyRef({ key: 'L', optional: true }))).toEqual({})
    expect(await env(fileKeyRef({ path: 'b.env', optional: true }))).toEqual({})
  })
})

describe('expand', () => {
  const lookup = (name: string) => ({ A: '1', B: '$(A)' })[name]
  test.each([
    ['$(A)', '1'],
    ['x$(A)y$(A)', 'x1y1'],
    ['$$(A)', '$(A)'],
    ['$$$(A)', '$1'],
    ['$(MISSING)', '$(MISSING)'],
    ['$(A', '$(A'],
    ['$', '$'],
    ['$x', '$x'],
    ['$(B)', '$(A)'],
    ['', ''],
  ])('%s', (text, expected) => expect(expand(text, lookup)).toBe(expected))
  test('leaves text without references alone', () =>
    fc.assert(
      fc.property(
        fc.string().filter(s => !s.includes('$')),
        s => expand(s, () => 'x') === s,
      ),
    ))
  test('doubled dollars come out as written', () =>
    fc.assert(fc.property(fc.string(), s => expand(s.replaceAll('$', '$$$$'), () => 'x') === s)))
})

describe('environment', () => {
  test('values refer to earlier ones and to services', async () =>
    expect(
      await env(
        {
          env: [
            { name: 'A', value: '1' },
            { name: 'B', value: '$(A)$(C)$(SVC)' },
            { name: 'C', value: 'late' },
          ],
        },
        new Map([['SVC', 's']]),
      ),
    ).toEqual({ A: '1', B: '1$(C)s', C: 'late', SVC: 's' }))
  test('envFrom with a prefix, replaced by env', async () =>
    expect(
      await env({
        envFrom: [{ prefix: 'P_', configMapRef: { name: 'cm' } }, { secretRef: { name: 's' } }],
        env: [{ name: 'k', value: 'own' }],
      }),
    ).toEqual({ P_k: 'v', 'P_a.b': 'dots', k: 'own' }))
  test('keys', async () =>
    expect(
      await env({
        env: [
          { name: 'C', valueFrom: { configMapKeyRef: { name: 'cm', key: 'k' } } },
          { name: 'S', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } },
        ],
      }),
    ).toEqual({ C: 'v', S: 'hidden' }))
  test.each([
    [{ configMapKeyRef: { name: 'no', key: 'k' } }, 'configmap "no" not found'],
    [{ configMapKeyRef: { name: 'cm', key: 'x' } }, "couldn't find key x in ConfigMap ns/cm"],
    [{ secretKeyRef: { name: 'no', key: 'k' } }, 'secret "no" not found'],
    [{ secretKeyRef: { name: 's', key: 'x' } }, "couldn't find key x in Secret ns/s"],
  ])('%j', async (valueFrom, message) => {
    await expect(env({ env: [{ name: 'E', valueFrom }] })).rejects.toThrow(message)
    const optional = Object.fromEntries(Object.entries(valueFrom).map(([k, v]) => [k, { ...v, optional: true }]))
    expect(await env({ env: [{ name: 'E', valueFrom: optional }] })).toEqual({})
  })
})

test('fields of the pod', () => {
  const pod = newPod(
    { nodeName: 'n', serviceAccountName: 'sa' },
    { name: 'p', namespace: 'ns', uid: 'u', labels: { b: '2', a: '"1"' }, annotations: { 'x/y': 'z' } },
  )
  expect(
    [
      'metadata.name',
      'metadata.uid',
      'spec.nodeName',
      'spec.serviceAccountName',
      'status.podIP',
      'status.hostIP',
      "metadata.labels['b']",
      "metadata.annotations['x/y']",
      "metadata.labels['no']",
    ].map(p => fieldValue(pod, p, facts)),
  ).toEqual(['p', 'u', 'n', 'sa', '10.0.0.5', '10.0.0.1', '2', 'z', ''])
  expect(fieldValue(pod, 'metadata.labels', facts)).toBe('a="\\"1\\""\nb="2"')
  expect(() => fieldValue(pod, 'status.phase', facts)).toThrow('unsupported fieldPath: status.phase')
})

test('resources of a container', () => {
  const pod = newPod({
    containers: [container('a', { resources: { requests: { cpu: '250m', memory: '64Mi' }, limits: { memory: '128Mi' } } })],
  })
  const value = (resource: string, divisor = '0') => resourceValue(pod, { resource, divisor }, 'a', facts)
  expect([
    value('requests.cpu'),
    value('requests.cpu', '1m'),
    value('limits.memory', '1Mi'),
    value('requests.memory'),
    value('limits.cpu'),
  ]).toEqual(['1', '250', '128', '67108864', '2'])
})

test('service variables', () => {
  const service = (name: string, namespace: string, clusterIP: string) =>
    ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace },
      spec: {
        clusterIP,
        ports: [
          { name: 'http-x', port: 80, protocol: 'TCP' },
          { port: 53, protocol: 'UDP' },
        ],
      },
    }) as unknown as Service
  const all = [
    service('my-svc', 'ns', '10.1.1.1'),
    service('headless', 'ns', 'None'),
    service('kubernetes', 'default', '10.1.0.1'),
    service('other', 'default', '10.1.0.2'),
  ]
  expect(Object.fromEntries(serviceEnvironment(all.slice(0, 1), 'ns', true))).toEqual({
    MY_SVC_SERVICE_HOST: '10.1.1.1',
    MY_SVC_SERVICE_PORT: '80',
    MY_SVC_SERVICE_PORT_HTTP_X: '80',
    MY_SVC_PORT: 'tcp://10.1.1.1:80',
    MY_SVC_PORT_80_TCP: 'tcp://10.1.1.1:80',
    MY_SVC_PORT_80_TCP_PROTO: 'tcp',
    MY_SVC_PORT_80_TCP_PORT: '80',
    MY_SVC_PORT_80_TCP_ADDR: '10.1.1.1',
    MY_SVC_PORT_53_UDP: 'udp://10.1.1.1:53',
    MY_SVC_PORT_53_UDP_PROTO: 'udp',
    MY_SVC_PORT_53_UDP_PORT: '53',
    MY_SVC_PORT_53_UDP_ADDR: '10.1.1.1',
  })
  const names = (links: boolean) => [...serviceEnvironment(all, 'ns', links).keys()].filter(k => k.endsWith('SERVICE_HOST')).sort()
  expect(names(true)).toEqual(['KUBERNETES_SERVICE_HOST', 'MY_SVC_SERVICE_HOST'])
  expect(names(false)).toEqual(['KUBERNETES_SERVICE_HOST'])
})

const image = { image: 'i', id: 'i', entrypoint: ['/entry'], cmd: ['default'], env: [], workingDir: '/', user: '' }
test('command replaces entrypoint and cmd, args the cmd alone', () => {
  const line = (more: object) => commandLine(container('a', more), image, new Map([['X', 'x']]))
  expect(line({})).toEqual(['/entry', 'default'])
  expect(line({ args: ['$(X)'] })).toEqual(['/entry', 'x'])
  expect(line({ command: ['c', '$$(X)'] })).toEqual(['c', '$(X)'])
  expect(line({ command: ['c'], args: ['a'] })).toEqual(['c', 'a'])
})
test('runAsNonRoot', () => {
  const pod = newPod({ securityContext: { runAsNonRoot: true } })
  const a = (more: object = {}) => container('a', { securityContext: more })
  expect(() => verifyNonRoot(pod, a(), image)).toThrow(
    'container has runAsNonRoot and image will run as root (pod: "p_ns(u1)", container: a)',
  )
  expect(() => verifyNonRoot(pod, a({ runAsUser: 0 }), image)).toThrow("container's runAsUser breaks non-root policy")
  expect(() => verifyNonRoot(pod, a(), { ...image, user: 'www' })).toThrow(
    'image has non-numeric user (www), cannot verify user is non-root',
  )
  expect(() => verifyNonRoot(pod, a(), { ...image, user: 'root:root' })).toThrow('image has non-numeric user (root)')
  expect(() => verifyNonRoot(pod, a(), { ...image, user: '0:1000' })).toThrow('image will run as root')
  expect(() => verifyNonRoot(pod, a(), { ...image, user: '3000000000' })).toThrow('image has an invalid user id (3000000000)')
  verifyNonRoot(pod, a({ runAsUser: 1000 }), image)
  verifyNonRoot(pod, a({ runAsNonRoot: false }), image)
  verifyNonRoot(pod, a(), { ...image, user: '1000:1000' })
})
