/** What Argo CD, Flux, Kyverno and Gatekeeper read: all documents, a watch of every kind, reviews by the hundred, as somebody else. */
import { connect, type ClientHttp2Session } from 'node:http2'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'

let api: ApiServerFixture
let rest: Rest
let session: ClientHttp2Session
beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
  // As client-go: all requests on one connection.
  session = connect(api.url, { ca: api.ca.cert, cert: api.admin.cert, key: api.admin.key })
})
afterAll(async () => {
  session?.destroy()
  await api?.stop()
})

const accept = (type: string) => ({ headers: { accept: type } })
/** Every resource that can be listed and watched, as a discovery of preferred versions finds them. */
async function watchable(): Promise<string[]> {
  const groups = (await rest('GET', '/apis')).body.groups.map(
    (g: { preferredVersion: { groupVersion: string } }) => g.preferredVersion.groupVersion,
  )
  const paths = ['/api/v1', ...groups.map((gv: string) => `/apis/${gv}`)]
  const lists = await Promise.all(paths.map(async path => ({ path, resources: (await rest('GET', path)).body.resources })))
  return lists.flatMap(({ path, resources }) =>
    resources
      .filter((r: { name: string; verbs: string[] }) => !r.name.includes('/') && r.verbs.includes('list') && r.verbs.includes('watch'))
      .map((r: { name: string }) => `${path}/${r.name}`),
  )
}

it('the whole OpenAPI document, as protobuf, and not again when it is the same', async () => {
  // What old clients ask for, answered as what it is called today.
  const type = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf'
  const first = await rest('GET', '/openapi/v2', undefined, accept(type))
  expect([first.code, first.headers['content-type']]).toEqual([200, type.replace('@', '.')])
  expect(first.text.length).toBeGreaterThan(100_000)
  const etag = first.headers.etag!
  const again = await rest('GET', '/openapi/v2', undefined, { headers: { accept: type, 'if-none-match': etag } })
  expect([again.code, again.text]).toEqual([304, ''])
})

it('OpenAPI of each group, by its hash for ever', async () => {
  const { paths } = (await rest('GET', '/openapi/v3')).body as { paths: Record<string, { serverRelativeURL: string }> }
  expect(Object.keys(paths)).toEqual(expect.arrayContaining(['api/v1', 'apis/apps/v1', 'apis/apiextensions.k8s.io/v1']))
  await Promise.all(
    Object.entries(paths).map(async ([name, { serverRelativeURL }]) => {
      const document = await rest('GET', serverRelativeURL)
      expect([name, document.code, document.headers['cache-control']]).toEqual([name, 200, 'public, immutable'])
      expect(document.headers.expires).toBeDefined()
      const type = 'application/com.github.proto-openapi.spec.v3@v1.0+protobuf'
      const protobuf = await rest('GET', serverRelativeURL, undefined, accept(type))
      expect([name, protobuf.code, protobuf.headers['content-type']]).toEqual([name, 200, type.replace('@', '.')])
      expect(protobuf.headers.etag).toBe(document.headers.etag)
      expect(protobuf.text).toContain('\n\x053.0.0')
    }),
  )
  const stale = await rest('GET', '/openapi/v3/apis/apps/v1?hash=OLD')
  expect([stale.code, stale.headers.location]).toEqual([301, paths['apis/apps/v1']!.serverRelativeURL])
})

it('informers of metadata alone, one for each kind there is, on one connection', async () => {
  const paths = await watchable()
  expect(paths.length).toBeGreaterThan(50)
  const listed = await Promise.all(
    paths.map(path => rest('GET', path, undefined, accept('application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1'))),
  )
  expect(new Set(listed.map(l => `${l.code} ${l.body.kind}`))).toEqual(new Set(['200 PartialObjectMetadataList']))
  const seen: { path: string; event: { type: string; object: { kind: string; metadata: { name?: string }; data?: unknown } } }[] = []
  const open = await Promise.all(
    paths.map((path, i) => {
      const version = listed[i]!.body.metadata.resourceVersion
      const stream = session.request({
        ':path': `${path}?watch=true&allowWatchBookmarks=true&resourceVersion=${version}`,
        accept: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',
      })
      let rest = ''
      stream.setEncoding('utf8').on('data', (text: string) => {
        const lines = (rest + text).split('\n')
        rest = lines.pop()!
        for (const line of lines) seen.push({ path, event: JSON.parse(line) })
      })
      return new Promise<{ code: number; stream: typeof stream }>((resolve, reject) =>
        stream.once('error', reject).once('response', headers => resolve({ code: Number(headers[':status']), stream })),
      )
    }),
  )
  expect(new Set(open.map(o => o.code))).toEqual(new Set([200]))
  await rest('POST', '/api/v1/namespaces/default/configmaps', { metadata: { name: 'noticed', labels: { a: 'b' } }, data: { big: 'x' } })
  await expect
    .poll(() => seen.find(s => s.path.endsWith('/configmaps') && s.event.object.metadata.name === 'noticed')?.event)
    .toMatchObject({
      type: 'ADDED',
      object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: { labels: { a: 'b' } } },
    })
  for (const { event } of seen) expect(event.object).not.toHaveProperty('data')
  for (const { stream } of open) stream.close()
})

it('a tenant is impersonated by the controller that reconciles for it, and only by who may', async () => {
  await rest('POST', '/api/v1/namespaces', { metadata: { name: 'tenant' } })
  await rest('POST', '/apis/rbac.authorization.k8s.io/v1/namespaces/tenant/roles', {
    metadata: { name: 'reconciler' },
    rules: [{ apiGroups: ['', 'apps'], resources: ['configmaps', 'deployments'], verbs: ['*'] }],
  })
  await rest('POST', '/apis/rbac.authorization.k8s.io/v1/namespaces/tenant/rolebindings', {
    metadata: { name: 'reconciler' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reconciler' },
    subjects: [{ kind: 'ServiceAccount', name: 'flux', namespace: 'tenant' }],
  })
  const as = (user: string, more: Record<string, string> = {}) => ({ headers: { 'impersonate-user': user, ...more } })
  const flux = as('system:serviceaccount:tenant:flux')
  const configMap = { metadata: { name: 'mine' } }
  const made = await rest('POST', '/api/v1/namespaces/tenant/configmaps?fieldManager=kustomize-controller', configMap, flux)
  expect(made.code).toBe(201)
  expect((await rest('POST', '/api/v1/namespaces/default/configmaps', configMap, flux)).body).toMatchObject({
    code: 403,
    message:
      'configmaps is forbidden: User "system:serviceaccount:tenant:flux" cannot create resource "configmaps" in API group "" in the namespace "default"',
  })
  const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' }
  const who = await rest('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', review, flux)
  expect(who.body.status.userInfo.groups).toEqual(['system:serviceaccounts', 'system:serviceaccounts:tenant', 'system:authenticated'])
  // Somebody who is nobody yet: what he may not do himself, impersonating included.
  const nested = await rest('GET', '/api/v1/namespaces', undefined, { ...as('jane'), as: 'nobody' })
  expect(nested.body).toMatchObject({ code: 403, message: expect.stringContaining('cannot impersonate resource "users"') })
})

it('reviews by the hundred, each with its own answer', async () => {
  const ask = (i: number) => ({
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    spec: {
      user: i % 2 === 0 ? 'system:serviceaccount:tenant:flux' : 'jane',
      groups: ['system:authenticated'],
      resourceAttributes: {
        namespace: i % 3 === 0 ? 'tenant' : 'default',
        verb: 'patch',
        group: 'apps',
        resource: 'deployments',
        name: `d${i}`,
      },
    },
  })
  const answers = await Promise.all(
    Array.from({ length: 300 }, (_, i) => rest('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', ask(i))),
  )
  expect(new Set(answers.map(a => a.code))).toEqual(new Set([201]))
  expect(answers.map(a => a.body.status.allowed)).toEqual(answers.map((_, i) => i % 2 === 0 && i % 3 === 0))
})
