/**
 * Dynamic resource allocation in a whole cluster: a driver on one node, claims from templates, pods of a Deployment that share its devices
 * out.
 */
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { adminClient } from '#control-plane/cli/api.ts'
import { stateDir } from '#control-plane/cli/state.ts'
import { eventually } from '../../fixtures/cluster.ts'
import { startDraDriver, type TestDraDriver } from '../../fixtures/dradriver.ts'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'

const name = 'lamps.test'
let cluster: SharedCluster
let kubectl: SharedCluster['kubectl']
let driver: TestDraDriver
let close = (): unknown => undefined
beforeAll(async () => {
  cluster = await sharedCluster()
  kubectl = cluster.kubectl
  const dir = stateDir(cluster.dir)
  const admin = adminClient(dir)
  close = () => admin.close()
  driver = await startDraDriver(path.join(cluster.dir, 'nodes/node-2'), {
    name,
    nodeName: 'node-2',
    client: admin.client,
    edits: device => ({ deviceNodes: [{ path: `/dev/${device}`, hostPath: '/dev/null' }] }),
  })
  await eventually(() => driver.registration.some(r => r.registered), 'the driver is registered')
  await driver.publish(['lamp-0', 'lamp-1'].map((device, i) => ({ name: device, attributes: { watts: { int: 40 + 20 * i } } })) as never)
}, 120_000)
afterAll(async () => {
  await kubectl?.('delete', 'deployment,pod,resourceclaimtemplate', '--all', '--timeout=60s').catch(() => {})
  await kubectl?.('delete', 'resourceslice', `node-2-${name}`, '--ignore-not-found')
  await kubectl?.('delete', 'deviceclass', name, '--ignore-not-found')
  await driver?.stop()
  await close()
  await cluster?.stop()
}, 120_000)

const pods = async (): Promise<string[]> =>
  (
    await kubectl(
      'get',
      'pods',
      '-l',
      'app=lit',
      '-o',
      'jsonpath={range .items[*]}{.metadata.name} {.status.phase} {.spec.nodeName}{"\\n"}{end}',
    )
  )
    .split('\n')
    .filter(Boolean)

test('pods get devices of their own where the driver is; one that finds none waits, and has what another gives back', async () => {
  await cluster.apply(`
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: ${name}}
spec: {selectors: [{cel: {expression: 'device.driver == "${name}"'}}]}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: lamp}
spec: {spec: {devices: {requests: [{name: lamp, firstAvailable: [{name: bright, deviceClassName: ${name}, selectors: [{cel: {expression: 'device.attributes["${name}"].watts > 50'}}]}, {name: any, deviceClassName: ${name}}]}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: lit}
spec:
  replicas: 3
  selector: {matchLabels: {app: lit}}
  template:
    metadata: {labels: {app: lit}}
    spec:
      terminationGracePeriodSeconds: 1
      resourceClaims: [{name: lamp, resourceClaimTemplateName: lamp}]
      containers:
      - {name: c, image: busybox, command: [sh, -c, 'env | grep DEVICE_; ls /dev; exec sleep 10000'], resources: {claims: [{name: lamp}]}}
`)
  await eventually(async () => (await pods()).filter(p => p.includes('Running node-2')).length === 2, 'two have their lamps', 60_000)
  const waiting = (await pods()).find(p => p.includes('Pending'))?.split(' ')[0] ?? ''
  await eventually(
    async () => /cannot allocate all claims/.test(await kubectl('describe', 'pod', waiting)),
    'the third is told why it waits',
  )
  const lit = (await pods()).filter(p => p.includes('Running')).map(p => p.split(' ')[0]!)
  const logs = await Promise.all(lit.map(pod => kubectl('logs', pod)))
  expect(logs.map(l => /DEVICE_(lamp_\d)/.exec(l)?.[1]).sort()).toEqual(['lamp_0', 'lamp_1'])
  for (const log of logs) expect(log).toContain(/DEVICE_(lamp_\d)/.exec(log)![1]!.replace('_', '-'))
  await expect(kubectl('get', 'resourceclaims')).resolves.toMatch(/allocated,reserved/)

  const prepared = driver.calls.filter(c => c.startsWith('prepare')).length
  await kubectl('delete', 'pod', lit[0]!, '--timeout=60s')
  await kubectl('scale', 'deployment/lit', '--replicas=2')
  await eventually(
    async () => (await pods()).length === 2 && (await pods()).every(p => p.includes('Running node-2')),
    'what was given back is had by another',
    60_000,
  )
  expect(driver.prepared.size).toBe(2)
  expect(driver.calls.filter(c => c.startsWith('prepare')).length).toBeGreaterThan(prepared)
  await kubectl('delete', 'deployment', 'lit', '--timeout=60s')
  await eventually(
    async () => (await kubectl('get', 'resourceclaims', '-o', 'name')) === '' && driver.prepared.size === 0,
    'all is given back',
  )
}, 180_000)
