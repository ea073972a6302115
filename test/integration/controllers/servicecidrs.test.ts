/** Ranges of Services' addresses are kept while an address would be left outside all of them. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { serviceCIDRs, services } from '#shared/api/kinds.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { ServiceCIDR } from '#shared/api/networking/servicecidr.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { startControl, until, type Control } from './setup.ts'

let c: Control
beforeAll(async () => {
  c = await startControl({ serviceClusterIpRange: '10.77.0.0/24' })
  await c.control()
})
afterAll(() => c?.stop())

const create = (name: string, cidr: string) =>
  c.client.create(serviceCIDRs, '', { metadata: { name }, spec: { cidrs: [cidr] } } as unknown as ServiceCIDR)
const readiness = async (name: string) =>
  (await c.client.get(serviceCIDRs, '', name)).status?.conditions?.find(condition => condition.type === 'Ready')
const gone = (name: string) => until(`${name} to be gone`, () => c.client.get(serviceCIDRs, '', name).then(() => false, isNotFound), 25_000)

test('a ServiceCIDR is ready, and waits for the Services that have addresses of it', async () => {
  await create('extra', '10.88.0.0/24')
  await until('it to be ready', async () => (await readiness('extra'))?.status === 'True')
  const guarded = (name: string) => async () => (await c.client.get(serviceCIDRs, '', name)).metadata.finalizers?.length === 1
  await until('the default one to be guarded', guarded('kubernetes'))
  const ns = await c.namespace('cidrs')
  const spec = { clusterIP: '10.88.0.9', ports: [{ port: 80 }] } as unknown as Service['spec']
  await c.client.create(services, ns, { metadata: { name: 's' }, spec } as Service)
  await c.client.delete(serviceCIDRs, '', 'extra')
  const waiting = await until('it to wait', async () => {
    const condition = await readiness('extra')
    return condition?.status === 'False' && condition
  })
  expect(waiting).toMatchObject({ reason: 'Terminating', message: expect.stringContaining('still IPAddresses referencing') })
  // Another range that has the same addresses lets it go, ten seconds after it was to be deleted.
  await create('wider', '10.88.0.0/23')
  await gone('extra')
  expect((await c.client.get(services, ns, 's')).spec.clusterIP).toBe('10.88.0.9')
  await c.client.delete(serviceCIDRs, '', 'wider')
  await until('it to wait', async () => (await readiness('wider'))?.status === 'False')
  await c.client.delete(services, ns, 's')
  await gone('wider')
}, 60_000)
