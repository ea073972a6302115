/** Go's envtest with our programs in the place of etcd and kube-apiserver. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { Pair } from '#shared/certificates/certificate.ts'
import { eventually } from '../fixtures/cluster.ts'
import { newRest, type Rest } from '../fixtures/apiserver.ts'
import { startEnvtest, type Envtest } from '../fixtures/envtest.ts'
import { startTestCluster } from '../fixtures/testcluster.ts'
import { startWebhook } from '../fixtures/webhook.ts'
import { inventory } from '../fixtures/inventory.ts'

const assets = path.resolve(import.meta.dirname, '../../control-plane/envtest/bin')
let env: Envtest
let rest: Rest
beforeAll(async () => {
  env = await startEnvtest(assets)
  rest = newRest(env.url, env.ca, env.user('default', 'system:masters'))
})
afterAll(async () => {
  rest?.close()
  await env?.stop()
})

test('its users are known by their certificates, and may do what roles say', async () => {
  const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' }
  const who = await rest('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', review)
  expect(who.body.status.userInfo).toMatchObject({ username: 'default', groups: ['system:masters', 'system:authenticated'] })
  const plain = newRest(env.url, env.ca, env.user('jane', 'dev'))
  expect((await plain('GET', '/api/v1/namespaces')).code).toBe(403)
  plain.close()
})

test('definitions are installed as InstallCRDs does it, and their objects served', async () => {
  const definition = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'boats.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'boats', singular: 'boat', kind: 'Boat', listKind: 'BoatList' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: { spec: { type: 'object', properties: { oars: { type: 'integer', maximum: 8 } } } },
            },
          },
        },
      ],
    },
  }
  expect((await rest('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', definition)).code).toBe(201)
  // WaitForCRDs: until discovery has the resource.
  await eventually(async () => {
    const { body } = await rest('GET', '/apis/example.com/v1')
    return body?.resources?.some((r: { name: string }) => r.name === 'boats')
  }, 'discovery has boats')
  const boat = (oars: number) => ({ apiVersion: 'example.com/v1', kind: 'Boat', metadata: { generateName: 'boat-' }, spec: { oars } })
  expect((await rest('POST', '/apis/example.com/v1/namespaces/default/boats', boat(8))).code).toBe(201)
  expect((await rest('POST', '/apis/example.com/v1/namespaces/default/boats', boat(9))).body.reason).toBe('Invalid')
})

test('pods need no account, and tokens of accounts are signed by the key that was given', async () => {
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'pod' }, spec: { containers: [{ name: 'c', image: 'busybox' }] } }
  expect((await rest('POST', '/api/v1/namespaces/default/pods', pod)).code).toBe(201)
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'robot' } }
  await rest('POST', '/api/v1/namespaces/default/serviceaccounts', account)
  const asked = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} }
  const { body } = await rest('POST', '/api/v1/namespaces/default/serviceaccounts/robot/token', asked)
  const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token: body.status.token } }
  const said = await rest('POST', '/apis/authentication.k8s.io/v1/tokenreviews', review)
  expect(said.body.status.user.username).toBe('system:serviceaccount:default:robot')
})

test('several side by side; SIGTERM ends both programs, with watches open, and leaves nothing', async () => {
  const other = await startEnvtest(assets)
  const own = newRest(other.url, other.ca, other.user('admin', 'system:masters'))
  expect((await own('GET', '/api/v1/namespaces/default/pods/pod')).code).toBe(404)
  const watch = await own.watch('/api/v1/configmaps?watch=true')
  expect(existsSync(path.join(other.etcdDir, 'nats'))).toBe(true)
  // Of etcd, nats-server says 1 when it is asked to end; envtest does not look.
  expect((await other.stop())[0]).toBe(0)
  watch.stop()
  own.close()
  expect((await inventory(other.etcdDir, 0))['processes']).toEqual([])
})

test('a kube-apiserver whose etcd is not ours says so', async () => {
  await expect(startEnvtest(assets, { 'etcd-servers': 'http://127.0.0.1:1' })).rejects.toThrow('http://127.0.0.1:1 does not answer')
  await expect(startEnvtest(assets, { 'no-such-flag': 'x' })).rejects.toThrow('kube-apiserver: unknown flag: --no-such-flag')
})

test('USE_EXISTING_CLUSTER: the kubeconfig alone is enough to write, to install webhooks that the test serves, and to be somebody else', async () => {
  const [cluster, hook] = await Promise.all([startTestCluster('--api-only'), startWebhook()])
  const config = parse(await readFile(cluster.kubeconfig, 'utf8'))
  const data = (text: string): string => Buffer.from(text, 'base64').toString()
  const [{ cluster: at }, { user }] = [config.clusters[0], config.users[0]]
  const pair = { cert: data(user['client-certificate-data']), key: data(user['client-key-data']) }
  const own = newRest(at.server, { cert: data(at['certificate-authority-data']) } as Pair, pair)
  try {
    // WebhookInstallOptions: what names a Service is turned to an address of the test's own, with its certificate.
    const client = { url: `${hook.url}/validate`, caBundle: hook.caBundle }
    const rules = [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }]
    const webhooks = [{ name: 'v.example.com', clientConfig: client, rules, sideEffects: 'None', admissionReviewVersions: ['v1'] }]
    hook.answer = review => ({ uid: review.request.uid, allowed: false, status: { message: 'not today' } })
    const path = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations'
    expect((await own('POST', path, { metadata: { name: 'v' }, webhooks })).code).toBe(201)
    const refused = await own('POST', '/api/v1/namespaces/default/configmaps', { metadata: { name: 'x' } })
    expect(refused.body.message).toBe('admission webhook "v.example.com" denied the request: not today')
    // AddUser of an existing cluster is an impersonation.
    const who = await own('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {}, { headers: { 'impersonate-user': 'jane' } })
    expect(who.body.status.userInfo.username).toBe('jane')
  } finally {
    own.close()
    await Promise.all([cluster.stop(), hook.stop()])
  }
})
