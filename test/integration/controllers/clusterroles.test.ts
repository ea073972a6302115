import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ClusterRole } from '#shared/api/rbac/clusterrole.ts'
import { clusterRoles } from '#shared/api/kinds.ts'
import { startControl, until, type Control } from './setup.ts'

let c: Control
beforeAll(async () => {
  c = await startControl()
  await c.control()
})
afterAll(async () => {
  await c?.stop()
})

const may = async (role: string, resource: string): Promise<boolean> =>
  ((await c.client.get(clusterRoles, '', role)).rules ?? []).some(r => r.resources?.includes(resource))

test('admin, edit and view are put together from the roles that are part of them', async () => {
  for (const role of ['view', 'edit', 'admin']) await until(`${role} to be put together`, () => may(role, 'pods'))
  expect(await may('view', 'secrets')).toBe(false)
  await until('admin to have what edit has', () => may('admin', 'secrets'))

  const crontabs: ClusterRole = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: 'crontabs', labels: { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' } },
    rules: [{ apiGroups: ['stable.example.com'], resources: ['crontabs'], verbs: ['get', 'list', 'watch'] }],
  }
  await c.client.create(clusterRoles, '', crontabs)
  // What is in view is in edit, and what is in edit is in admin.
  for (const role of ['view', 'edit', 'admin']) await until(`${role} to have it too`, () => may(role, 'crontabs'))
  await c.client.delete(clusterRoles, '', 'crontabs')
  for (const role of ['view', 'edit', 'admin']) await until(`${role} to lose it`, async () => !(await may(role, 'crontabs')))
})

test('what somebody writes into such a role does not stay', async () => {
  await until('view to be put together', () => may('view', 'pods'))
  await c.client.patch(clusterRoles, '', 'view', 'merge', { rules: [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }] })
  await until('view to be as before', async () => (await may('view', 'pods')) && !(await may('view', '*')))
})
