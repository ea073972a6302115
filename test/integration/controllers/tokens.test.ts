import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { configMaps, secrets, serviceAccounts } from '#shared/api/kinds.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { startControl, until, type Control } from './setup.ts'

let c: Control
beforeAll(async () => {
  c = await startControl()
  await c.control({ serviceAccountKey: readFileSync(c.api.options.serviceAccountSigningKeyFile!, 'utf8') })
})
afterAll(() => c?.stop())

const make = (namespace: string, name: string, account: string, annotations: Record<string, string> = {}) =>
  c.client.create(secrets, namespace, {
    metadata: { name, annotations: { 'kubernetes.io/service-account.name': account, ...annotations } },
    type: 'kubernetes.io/service-account-token',
  } as never)
const filled = (namespace: string, name: string) =>
  until('the token', async () => {
    const secret = await c.client.get(secrets, namespace, name)
    return secret.data?.['token'] !== undefined && secret
  })
const gone = (namespace: string, name: string) =>
  until(`${name} to be gone`, () => c.client.get(secrets, namespace, name).then(() => false, isNotFound))
const decoded = (text: string | undefined) => Buffer.from(text ?? '', 'base64').toString()
const reviewOf = async (token: string) =>
  (
    await c.api.rest('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token },
    })
  ).body.status

test('a Secret for an account gets a token that authenticates as the account, as long as both are there', async () => {
  const ns = await c.namespace('tokens')
  await make(ns, 'long-lived', 'default')
  const secret = await filled(ns, 'long-lived')
  const account = await c.client.get(serviceAccounts, ns, 'default')
  expect(secret.metadata.annotations).toMatchObject({ 'kubernetes.io/service-account.uid': account.metadata.uid })
  expect([decoded(secret.data!['ca.crt']), decoded(secret.data!['namespace'])]).toEqual(['CA', ns])
  const token = decoded(secret.data!['token'])
  expect(await reviewOf(token)).toMatchObject({
    authenticated: true,
    user: { username: `system:serviceaccount:${ns}:default`, uid: account.metadata.uid },
  })
  // What is taken away comes back; a token that is no longer in its Secret is none.
  await c.client.patch(secrets, ns, 'long-lived', 'merge', { data: { token: null, 'ca.crt': null } })
  const again = await filled(ns, 'long-lived')
  expect(Object.keys(again.data!).sort()).toEqual(['ca.crt', 'namespace', 'token'])
  await c.client.patch(secrets, ns, 'long-lived', 'merge', {
    metadata: { labels: { 'kubernetes.io/legacy-token-invalid-since': '2026-01-01' } },
  })
  expect((await reviewOf(decoded(again.data!['token']))).authenticated).not.toBe(true)
  await c.client.patch(secrets, ns, 'long-lived', 'merge', { metadata: { labels: null } })
  expect((await reviewOf(decoded(again.data!['token']))).authenticated).toBe(true)
  await c.client.delete(secrets, ns, 'long-lived')
  expect((await reviewOf(token)).authenticated).not.toBe(true)
})

test('a Secret for an account that does not exist, or is another, is deleted; so are those of an account that goes', async () => {
  const ns = await c.namespace('unknown')
  await make(ns, 'nobody', 'nosuch')
  await make(ns, 'stranger', 'default', { 'kubernetes.io/service-account.uid': 'another' })
  await gone(ns, 'nobody')
  await gone(ns, 'stranger')
  await c.client.create(serviceAccounts, ns, { metadata: { name: 'robot' } } as never)
  await make(ns, 'one', 'robot')
  await make(ns, 'two', 'robot')
  await filled(ns, 'one')
  await filled(ns, 'two')
  await c.client.patch(serviceAccounts, ns, 'robot', 'merge', { secrets: [{ name: 'one' }, { name: 'two' }] })
  await c.client.delete(secrets, ns, 'one')
  await until('the reference to be dropped', async () => (await c.client.get(serviceAccounts, ns, 'robot')).secrets?.length === 1)
  await c.client.delete(serviceAccounts, ns, 'robot')
  await gone(ns, 'two')
})

test('a use of a token in a Secret is noted; one that nobody uses ends', async () => {
  const ns = await c.namespace('unused')
  await make(ns, 'old', 'default')
  const token = decoded((await filled(ns, 'old')).data!['token'])
  const labels = async () => (await c.client.get(secrets, ns, 'old')).metadata.labels
  const today = () => new Date().toISOString().slice(0, 10)
  const before = today()
  expect((await reviewOf(token)).authenticated).toBe(true)
  expect([before, today()]).toContain((await labels())?.['kubernetes.io/legacy-token-last-used'])
  // Long ago, and made automatically.
  const tracking = 'kube-apiserver-legacy-service-account-token-tracking'
  expect((await c.client.get(configMaps, 'kube-system', tracking)).data).toEqual({ since: expect.stringMatching(/^\d{4}-\d\d-\d\d$/) })
  await c.client.patch(configMaps, 'kube-system', tracking, 'merge', { data: { since: '2020-01-01' } })
  await c.client.patch(serviceAccounts, ns, 'default', 'merge', { secrets: [{ name: 'old' }] })
  await c.stopControllers()
  await c.control({ legacyTokenCleanUpMs: 1 })
  const aged = { metadata: { labels: { 'kubernetes.io/legacy-token-last-used': '2020-01-02' } } }
  await c.client.patch(secrets, ns, 'old', 'merge', aged)
  await until('the token to be invalid', async () => (await labels())?.['kubernetes.io/legacy-token-invalid-since'])
  expect((await reviewOf(token)).error).toContain(`the token in secret ${ns}/old for service account ${ns}/default has been marked invalid`)
  const invalid = { metadata: { labels: { ...aged.metadata.labels, 'kubernetes.io/legacy-token-invalid-since': '2020-01-03' } } }
  await c.client.patch(secrets, ns, 'old', 'merge', invalid)
  await gone(ns, 'old')
})
