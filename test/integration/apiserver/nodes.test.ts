/** What a node may do, and what somebody gets who has stolen its credentials: over HTTPS and over NATS. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sign } from '#shared/certificates/certificate.ts'
import { natsTransport } from '#shared/bus/api-client.ts'
import type { ApiResponse, Transport } from '#shared/bus/transport.ts'
import { newRest, startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { get } from '../bus/setup.ts'
import { addServiceAccount, bindTo, pod, pods } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
let https: Rest
let transport: Transport
const core = '/api/v1/namespaces/default'
const leases = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases'
const uids: Record<string, string> = {}

/** A pod that refers to objects named `<name>-...`. */
const needy = (name: string) =>
  pod(name, {
    imagePullSecrets: [{ name: `${name}-pull` }],
    serviceAccountName: `${name}-account`,
    containers: [
      {
        name: 'c',
        image: 'nginx',
        env: [{ name: 'A', valueFrom: { secretKeyRef: { name: `${name}-env`, key: 'k' } } }],
        envFrom: [{ configMapRef: { name: `${name}-config` } }],
      },
    ],
    volumes: [
      { name: 's', secret: { secretName: `${name}-volume` } },
      { name: 'p', projected: { sources: [{ configMap: { name: `${name}-projected` } }] } },
    ],
  })
const secretsOf = (name: string) => ['pull', 'env', 'volume'].map(part => `${name}-${part}`)
const configsOf = (name: string) => ['config', 'projected'].map(part => `${name}-${part}`)

beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
  await addServiceAccount(rest)
  for (const [name, node] of [
    ['mine', 'n1'],
    ['other', 'n2'],
  ] as const) {
    await rest('POST', '/api/v1/nodes', { metadata: { name: node } })
    await rest('POST', leases, { metadata: { name: node }, spec: {} })
    await addServiceAccount(rest, 'default')
    await rest('POST', `${core}/serviceaccounts`, { metadata: { name: `${name}-account` } })
    for (const secret of secretsOf(name)) await rest('POST', `${core}/secrets`, { metadata: { name: secret } })
    for (const config of configsOf(name)) await rest('POST', `${core}/configmaps`, { metadata: { name: config } })
    const made = await rest('POST', pods, needy(name))
    expect(made.code, made.text).toBe(201)
    uids[name] = made.body.metadata.uid
    await bindTo(rest, name, node)
  }
  https = newRest(api.url, api.ca, await sign(api.ca, { commonName: 'system:node:n1', organizations: ['system:nodes'] }))
  transport = natsTransport(await api.nats.connect('system:node:n1'))
})
afterAll(async () => {
  https?.close()
  await transport?.close()
  await api?.stop()
})

type Send = (method: string, path: string, body?: object, type?: string) => Promise<{ code: number; message: string }>
const textOf = async (body: ApiResponse['body']): Promise<string> => {
  const pieces: Uint8Array[] = []
  for await (const piece of body instanceof Uint8Array ? [body] : body) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}
const transports: readonly (readonly [string, Send])[] = [
  [
    'HTTPS',
    async (method, path, body, type = 'application/json') => {
      const { code, body: answer, text } = await https(method, path, body, { headers: { 'content-type': type } })
      return { code, message: answer?.message ?? text }
    },
  ],
  [
    'NATS',
    async (method, path, body, type = 'application/json') => {
      const more = body ? { headers: { 'content-type': type }, body: Buffer.from(JSON.stringify(body)) } : {}
      const { code, body: answer } = await get(transport, path, { method, ...more })
      const text = await textOf(answer)
      return { code, message: code < 400 ? text : JSON.parse(text).message }
    },
  ],
]
const merge = 'application/merge-patch+json'
const token = (uid: string | undefined, name: string) => ({ spec: { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid } } })
const many = (path: string, name: string) => `${path}?fieldSelector=metadata.name%3D${name}`

describe.each(transports)('over %s a node', (_, send) => {
  it('does its work', async () => {
    const fine: [string, string, object?, string?][] = [
      ['GET', '/api/v1/nodes/n1'],
      ['PATCH', '/api/v1/nodes/n1/status', { status: { phase: 'Running' } }, merge],
      ['PATCH', '/api/v1/nodes/n1', { metadata: { labels: { 'kubernetes.io/os': 'linux', mine: 'x' } } }, merge],
      ['GET', `${leases}/n1`],
      ['PATCH', `${leases}/n1`, { spec: { holderIdentity: 'n1' } }, merge],
      ['GET', `/api/v1/pods?fieldSelector=spec.nodeName%3Dn1`],
      ['GET', `${pods}/mine`],
      ['PATCH', `${pods}/mine/status`, { status: { message: 'm' } }, merge],
      ['POST', `${core}/events`, { metadata: { name: `e-${Math.random()}` }, involvedObject: { namespace: 'default' }, reason: 'x' }],
      ['GET', '/api/v1/services'],
      ['GET', '/apis/discovery.k8s.io/v1/endpointslices'],
      ['GET', '/api/v1/nodes'],
      ...secretsOf('mine').flatMap((name): [string, string][] => [
        ['GET', `${core}/secrets/${name}`],
        ['GET', many(`${core}/secrets`, name)],
      ]),
      ...configsOf('mine').map((name): [string, string] => ['GET', `${core}/configmaps/${name}`]),
      ['POST', `${core}/serviceaccounts/mine-account/token`, token(uids['mine'], 'mine')],
    ]
    for (const [method, path, body, type] of fine) {
      const { code, message } = await send(method, path, body, type)
      expect(code, `${method} ${path}: ${message}`).toBeLessThan(300)
    }
  })

  it('reads nothing of others', async () => {
    const unrelated = /no relationship found between node 'n1' and this object$/
    const refused: [string, RegExp][] = [
      ...secretsOf('other').map((name): [string, RegExp] => [`${core}/secrets/${name}`, unrelated]),
      ...secretsOf('other').map((name): [string, RegExp] => [many(`${core}/secrets`, name), unrelated]),
      ...configsOf('other').map((name): [string, RegExp] => [`${core}/configmaps/${name}`, unrelated]),
      [`${core}/secrets/none`, unrelated],
      [`${core}/secrets`, /No Object name found$/],
      ['/api/v1/secrets', /can only read namespaced object of this type$/],
      [`/api/v1/namespaces/kube-system/secrets/mine-env`, unrelated],
      [`${pods}/other`, unrelated],
      ['/api/v1/pods', /can only list\/watch pods with spec.nodeName field selector$/],
      ['/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3Dn2', /can only list\/watch pods with spec.nodeName field selector$/],
      ['/api/v1/pods?fieldSelector=spec.nodeName!%3Dn1', /can only list\/watch pods with spec.nodeName field selector$/],
      [`${leases}/n2`, /can only access node lease with the same name as the requesting node$/],
      [
        '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/n1',
        /can only access leases in the "kube-node-lease" system namespace$/,
      ],
      [`${core}/persistentvolumeclaims/c`, unrelated],
      ['/api/v1/persistentvolumes/v', unrelated],
      ['/apis/rbac.authorization.k8s.io/v1/clusterroles', /cannot list resource "clusterroles"/],
      ['/metrics', /cannot get path "\/metrics"/],
    ]
    for (const [path, words] of refused) {
      const { code, message } = await send('GET', path)
      expect({ code, message }, path).toEqual({ code: 403, message: expect.stringMatching(words) })
    }
  })

  it('writes nothing of others', async () => {
    const owner = { apiVersion: 'v1', kind: 'Node', name: 'n1', uid: 'x', controller: true }
    const made = (metadata: object, spec: object) => ({ ...pod('made', spec), metadata: { name: 'made', ...metadata } })
    const mirror = { 'kubernetes.io/config.mirror': 'x' }
    const refused: [string, string, object | undefined, RegExp, string?][] = [
      ['PATCH', '/api/v1/nodes/n2/status', { status: {} }, /node "n1" is not allowed to modify node "n2"$/, merge],
      ['POST', '/api/v1/nodes', { metadata: { name: 'n3' } }, /node "n1" is not allowed to modify node "n3"$/],
      ['DELETE', '/api/v1/nodes/n1', undefined, /cannot delete resource "nodes"/],
      ['PATCH', '/api/v1/nodes/n1', { spec: { taints: [{ key: 'a', effect: 'NoSchedule' }] } }, /is not allowed to modify taints$/, merge],
      [
        'PATCH',
        '/api/v1/nodes/n1',
        { metadata: { labels: { 'node-role.kubernetes.io/x': '' } } },
        /is not allowed to modify labels: node-role.kubernetes.io\/x$/,
        merge,
      ],
      ['PATCH', `${leases}/n2`, { spec: {} }, /the same name as the requesting node$/, merge],
      ['POST', leases, { metadata: { name: 'n3' } }, /the same name as the requesting node$/],
      ['PATCH', `${pods}/other/status`, { status: { message: 'm' } }, /with spec.nodeName set to itself$/, merge],
      ['PATCH', `${pods}/mine/status`, { metadata: { labels: { a: 'b' } } }, /cannot update labels through pod status$/, merge],
      ['PATCH', `${pods}/mine`, { metadata: { labels: { a: 'b' } } }, /cannot patch resource "pods"/, merge],
      ['DELETE', `${pods}/other`, undefined, /can only delete pods with spec.nodeName set to itself$/],
      ['POST', `${pods}/other/eviction`, { metadata: { name: 'other' } }, /can only evict pods with spec.nodeName set to itself$/],
      ['POST', pods, pod('made'), /pod does not have "kubernetes.io\/config.mirror" annotation/],
      ['POST', pods, made({ annotations: mirror }, { nodeName: 'n2' }), /can only create pods with spec.nodeName set to itself$/],
      ['POST', pods, made({ annotations: mirror }, { nodeName: 'n1' }), /can only create pods with an owner reference set to itself$/],
      ['POST', pods, made({ annotations: mirror, ownerReferences: [owner] }, { nodeName: 'n1' }), /UID mismatch/],
      ['POST', `${pods}/mine/exec?command=x`, undefined, /cannot create resource "pods\/exec"/],
      ['POST', `${core}/serviceaccounts/other-account/token`, token(uids['other'], 'other'), /no relationship found/],
      ['POST', `${core}/serviceaccounts/mine-account/token`, { spec: {} }, /node requested token not bound to a pod$/],
      ['POST', `${core}/serviceaccounts/mine-account/token`, token(undefined, 'mine'), /without a uid$/],
      ['POST', `${core}/serviceaccounts/mine-account/token`, token(uids['other'], 'other'), /scheduled on a different node$/],
      ['POST', `${core}/secrets`, { metadata: { name: 'new' } }, /can only read resources of this type$/],
      ['DELETE', `${core}/secrets/mine-env`, undefined, /can only read resources of this type$/],
    ]
    for (const [method, path, body, words, type] of refused) {
      const { code, message } = await send(method, path, body, type)
      expect({ code, message }, `${method} ${path}`).toEqual({ code: 403, message: expect.stringMatching(words) })
    }
  })

  it('impersonates nobody', async () => {
    const headers = { 'impersonate-user': 'system:node:n2', 'impersonate-group': 'system:nodes' }
    const { code, body } = await get(transport, `${core}/secrets/other-env`, { headers })
    expect({ code, text: await textOf(body) }).toEqual({ code: 403, text: expect.stringContaining('cannot impersonate resource') })
    expect((await https('GET', `${core}/secrets/other-env`, undefined, { headers })).code).toBe(403)
  })
})

it('a pod that goes takes along what it needed', async () => {
  const [[, send]] = transports as [(typeof transports)[number]]
  await rest('POST', `${core}/secrets`, { metadata: { name: 'short-env' } })
  await rest('POST', `${core}/serviceaccounts`, { metadata: { name: 'short-account' } })
  await rest('POST', pods, needy('short'))
  expect((await send('GET', `${core}/secrets/short-env`)).code).toBe(403)
  await bindTo(rest, 'short', 'n1')
  expect((await send('GET', `${core}/secrets/short-env`)).code).toBe(200)
  await rest('DELETE', `${pods}/short?gracePeriodSeconds=0`)
  expect((await send('GET', `${core}/secrets/short-env`)).code).toBe(403)
})

it('has tokens of the audiences that its pods name, and of those that somebody lets it have', async () => {
  const make = async (path: string, object: object) => {
    const { code, text } = await rest('POST', path, object)
    expect(code, text).toBe(201)
  }
  await make('/apis/storage.k8s.io/v1/csidrivers', {
    metadata: { name: 'd.example.com' },
    spec: { tokenRequests: [{ audience: 'driver' }] },
  })
  const spec = { accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' }, csi: { driver: 'd.example.com', volumeHandle: 'v' } }
  await make('/api/v1/persistentvolumes', { metadata: { name: 'bound' }, spec })
  const claim = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, volumeName: 'bound' }
  await make(`${core}/persistentvolumeclaims`, { metadata: { name: 'claim' }, spec: claim })
  const ask = async (name: string, volumes: object[], ...audiences: string[]) => {
    await rest('POST', `${core}/serviceaccounts`, { metadata: { name: 'tokens' } })
    const made = await rest('POST', pods, pod(name, { serviceAccountName: 'tokens', automountServiceAccountToken: false, volumes }))
    expect(made.code, made.text).toBe(201)
    await bindTo(rest, name, 'n1')
    const body = { spec: { audiences, boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid: made.body.metadata.uid } } }
    return https('POST', `${core}/serviceaccounts/tokens/token`, body)
  }
  const named = [{ name: 't', projected: { sources: [{ serviceAccountToken: { path: 't', audience: 'vault' } }] } }]
  const gone = [{ name: 'v', csi: { driver: 'gone.example.com' } }]
  expect((await ask('a1', named, 'vault')).code).toBe(201)
  expect((await ask('a2', [{ name: 'v', persistentVolumeClaim: { claimName: 'claim' } }], 'driver')).code).toBe(201)
  expect((await ask('a3', [{ name: 'v', csi: { driver: 'd.example.com' } }], 'driver')).code).toBe(201)
  const forbidden = 'serviceaccounts "tokens" is forbidden: '
  const unknown = 'not found in pod spec volume, system:node:n1 is not authorized to request tokens for this audience'
  expect((await ask('a4', named, 'other')).body).toMatchObject({ code: 403, message: `${forbidden}audience "other" ${unknown}` })
  expect((await ask('a5', named)).body.message).toBe(`${forbidden}audience "" ${unknown}`)
  expect((await ask('a6', named, 'vault', 'other')).body.message).toBe(`${forbidden}node may only request 0 or 1 audiences`)
  expect((await ask('a7', gone, 'driver')).body.message).toBe(
    `${forbidden}error validating audience "driver": csidriver.storage.k8s.io "gone.example.com" not found`,
  )
  const rules = [{ apiGroups: [''], resources: ['other'], resourceNames: ['tokens'], verbs: ['request-serviceaccounts-token-audience'] }]
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'audience' }
  await make('/apis/rbac.authorization.k8s.io/v1/clusterroles', { metadata: { name: 'audience' }, rules })
  const subjects = [{ kind: 'Group', name: 'system:nodes' }]
  await make('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', { metadata: { name: 'audience' }, roleRef, subjects })
  expect((await ask('a8', named, 'other')).code).toBe(201)
})
