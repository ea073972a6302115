import { describe, expect, it } from 'vitest'
import { invalidImageName, parseImageName } from '#shared/api/core/podspec/imagename.ts'
import { defaultPodTemplateSpec, podTemplateSpec, type PodTemplateSpec } from '#shared/api/core/podtemplate.ts'
import { decodeValue } from '#shared/machinery/decode.ts'
import { applyDefaults } from '#shared/machinery/defaults.ts'
import { makePod } from './pods.ts'

describe('defaults of a pod', () => {
  it('are those of the API', () => {
    expect(makePod({}).spec).toEqual({
      containers: [
        {
          name: 'c',
          image: 'nginx:1.25',
          imagePullPolicy: 'IfNotPresent',
          terminationMessagePath: '/dev/termination-log',
          terminationMessagePolicy: 'File',
          resources: {},
        },
      ],
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      dnsPolicy: 'ClusterFirst',
      securityContext: {},
      schedulerName: 'default-scheduler',
      enableServiceLinks: true,
    })
  })

  it.each([
    ['nginx', 'Always'],
    ['nginx:latest', 'Always'],
    ['localhost:5000/nginx', 'Always'],
    ['nginx:1.25', 'IfNotPresent'],
    [`nginx@sha256:${'a'.repeat(64)}`, 'IfNotPresent'],
    [`nginx:latest@sha256:${'a'.repeat(64)}`, 'Always'],
    ['Not A Name', 'IfNotPresent'],
  ])('pull %s %s', (image, policy) => {
    expect(makePod({ containers: [{ name: 'c', image }] }).spec.containers[0]?.imagePullPolicy).toBe(policy)
  })

  it('of probes take zero for absent', () => {
    const [c] = makePod({
      containers: [
        { name: 'c', image: 'x', livenessProbe: { httpGet: { port: 80 }, timeoutSeconds: 0 }, readinessProbe: { grpc: { port: 1 } } },
      ],
    }).spec.containers
    expect(c?.livenessProbe).toEqual({
      httpGet: { path: '/', port: 80, scheme: 'HTTP' },
      timeoutSeconds: 1,
      periodSeconds: 10,
      successThreshold: 1,
      failureThreshold: 3,
    })
    expect(c?.readinessProbe?.grpc).toEqual({ port: 1, service: '' })
  })

  it('of volumes', () => {
    const volumes = [
      { name: 'a' },
      { name: 'b', secret: { secretName: 's' } },
      { name: 'c', hostPath: { path: '/x' } },
      {
        name: 'd',
        projected: {
          sources: [
            { serviceAccountToken: { path: 't' } },
            { downwardAPI: { items: [{ path: 'l', fieldRef: { fieldPath: 'metadata.labels' } }] } },
          ],
        },
      },
      { name: 'e', image: { reference: 'x' } },
    ]
    expect(makePod({ volumes }).spec.volumes).toEqual([
      { name: 'a', emptyDir: {} },
      { name: 'b', secret: { secretName: 's', defaultMode: 420 } },
      { name: 'c', hostPath: { path: '/x', type: '' } },
      {
        name: 'd',
        projected: {
          defaultMode: 420,
          sources: [
            { serviceAccountToken: { path: 't', expirationSeconds: 3600 } },
            { downwardAPI: { items: [{ path: 'l', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.labels' } }] } },
          ],
        },
      },
      { name: 'e', image: { reference: 'x', pullPolicy: 'Always' } },
    ])
  })

  it('take requests from limits, host ports from ports, and round amounts up to thousandths', () => {
    const containers = [
      {
        name: 'c',
        image: 'x',
        ports: [{ containerPort: 80 }],
        resources: { requests: { cpu: '0.0001' }, limits: { cpu: '1', memory: '1Gi' } },
      },
    ]
    const { spec } = makePod({ hostNetwork: true, containers })
    expect(spec.containers[0]?.ports).toEqual([{ containerPort: 80, hostPort: 80, protocol: 'TCP' }])
    expect(spec.containers[0]?.resources).toEqual({ requests: { cpu: '1m', memory: '1Gi' }, limits: { cpu: '1', memory: '1Gi' } })
  })

  it('complete pod-level resources from the containers', () => {
    const containers = [{ name: 'c', image: 'x', resources: { requests: { cpu: '100m' }, limits: { memory: '1Gi' } } }]
    expect(makePod({ containers, resources: { limits: { cpu: '2' } } }).spec.resources).toEqual({
      requests: { cpu: '100m', memory: '1Gi' },
      limits: { cpu: '2', memory: '1Gi' },
    })
  })

  it('take a grace period below zero for one, which templates keep', () => {
    expect(makePod({ terminationGracePeriodSeconds: -1 }).spec.terminationGracePeriodSeconds).toBe(1)
    const template = { spec: { terminationGracePeriodSeconds: -1, containers: [] } } as unknown as PodTemplateSpec
    defaultPodTemplateSpec(template)
    expect(template.spec?.terminationGracePeriodSeconds).toBe(-1)
  })
  it('mirror the service account under its old name', () => {
    expect(makePod({ serviceAccount: 'sa' }).spec).toMatchObject({ serviceAccount: 'sa', serviceAccountName: 'sa' })
    expect(makePod({ serviceAccount: 'old', serviceAccountName: 'new' }).spec).toMatchObject({
      serviceAccount: 'new',
      serviceAccountName: 'new',
    })
  })
})

it('a template keeps open what only pods have', () => {
  const body = {
    spec: {
      hostNetwork: true,
      containers: [{ name: 'c', image: 'x', ports: [{ containerPort: 80 }], resources: { limits: { cpu: '1' } } }],
    },
  }
  const template = decodeValue(podTemplateSpec, body).object as PodTemplateSpec
  applyDefaults(podTemplateSpec, template)
  defaultPodTemplateSpec(template)
  expect(template.spec).toMatchObject({
    restartPolicy: 'Always',
    containers: [{ imagePullPolicy: 'Always', ports: [{ containerPort: 80, protocol: 'TCP' }], resources: { limits: { cpu: '1' } } }],
  })
  expect(template.spec?.enableServiceLinks).toBeUndefined()
  expect(template.spec?.containers[0]?.resources?.requests).toBeUndefined()
  expect(template.spec?.containers[0]?.ports?.[0]?.hostPort).toBeUndefined()
})

describe('parseImageName', () => {
  it.each([
    ['busybox', { repository: 'docker.io/library/busybox', tag: 'latest', digest: '' }],
    ['a/b:1', { repository: 'docker.io/a/b', tag: '1', digest: '' }],
    ['reg.example:5000/a/b', { repository: 'reg.example:5000/a/b', tag: 'latest', digest: '' }],
    [`a@sha256:${'0'.repeat(64)}`, { repository: 'docker.io/library/a', tag: '', digest: `sha256:${'0'.repeat(64)}` }],
  ])('%s', (image, parts) => expect(parseImageName(image)).toEqual(parts))
  it.each(['', 'UPPER', 'a b', ':tag', 'a:', `${'x'.repeat(300)}`, 'a'.repeat(64)])('refuses %j', image =>
    expect(parseImageName(image)).toBeUndefined(),
  )
  it('says why', () => {
    expect(invalidImageName('BusyBox:Latest')).toBe('invalid reference format: repository name (library/BusyBox) must be lowercase')
    expect(invalidImageName('reg.example/A/b')).toBe('invalid reference format: repository name (A/b) must be lowercase')
    expect(invalidImageName('a/b:?')).toBe('invalid reference format')
    expect(invalidImageName('a'.repeat(64))).toContain('cannot specify 64-byte hexadecimal strings')
  })
})
