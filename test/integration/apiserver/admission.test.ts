/** Nothing is written, connected or answered that admission was not asked about: of every kind, by every verb, on every subresource. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { AdmissionPlugin, Attributes } from '#control-plane/apiserver/admission/admission.ts'
import { bindings } from '#control-plane/apiserver/subresources/binding.ts'
import { tokenReviews } from '#control-plane/apiserver/subresources/tokenreview.ts'
import { apiVersion, type Resource } from '#shared/api/resource.ts'
import { resources } from '#shared/api/resources.ts'
import { forbidden } from '#shared/machinery/status.ts'
import { startTestApiServer, type ApiServerFixture, type Reply } from '../../fixtures/apiserver.ts'
import { sampleNames, samples } from '../resources/samples.ts'
import { addServiceAccount, merge, pod } from './setup.ts'

/** Bodies of subresources that have one of their own. */
const bodies: Readonly<Record<string, object>> = {
  Binding: { target: { name: 'n' } },
  Eviction: {},
  TokenRequest: { spec: { audiences: ['x'] } },
  Scale: { spec: { replicas: 2 } },
}

interface Question {
  readonly what: string
  readonly kind: string
  readonly options: unknown
}
const asked: { mutating: Question[]; validating: Question[] } = { mutating: [], validating: [] }
const question = (a: Attributes): Question => ({
  what: `${a.operation} ${a.resource.group}/${a.resource.resource}${a.subresource && `/${a.subresource}`} ${a.name}`,
  kind: a.kind.kind,
  options: a.options?.['kind'],
})
let refuse = ''
const counting: AdmissionPlugin = {
  name: 'Counting',
  mutate: a => {
    asked.mutating.push(question(a))
    if (question(a).what === refuse) throw forbidden(a.resource, a.name, 'counted')
  },
  validate: a => void asked.validating.push(question(a)),
}

let api: ApiServerFixture
beforeAll(async () => {
  api = await startTestApiServer({}, [counting])
  await addServiceAccount(api.rest)
})
afterAll(() => api?.stop())

/** The requests that admission must be asked about are all those that a plugin that refuses them can stop. */
async function expectAsked(what: string, kind: string, send: () => Promise<Reply>): Promise<void> {
  refuse = what
  const stopped = await send()
  refuse = ''
  expect({ what, code: stopped.code, message: stopped.body?.message }).toEqual({
    what,
    code: 403,
    message: expect.stringContaining('counted'),
  })
  asked.mutating.length = asked.validating.length = 0
  const { code, body } = await send()
  expect(asked.mutating).toContainEqual(expect.objectContaining({ what, kind }))
  // What fails for another reason need not come so far.
  if (code < 300)
    expect(asked.validating, `${what}: ${JSON.stringify(body?.message)}`).toContainEqual(expect.objectContaining({ what, kind }))
}

const pathOf = (r: Resource): string =>
  `${r.group === '' ? '/api' : '/apis'}/${apiVersion(r)}${r.namespaced ? '/namespaces/default' : ''}/${r.plural}`
function objectOf(r: Resource, name: string): Record<string, unknown> {
  const sample = samples[`${r.group}/${r.plural}`]
  // A sample may name the namespace of the suite that it was made for.
  const own = JSON.parse(JSON.stringify(typeof sample === 'function' ? sample(name) : sample).replaceAll(':"resources"', ':"default"'))
  return { kind: r.kind, apiVersion: apiVersion(r), ...own, metadata: { name } }
}
const serves = (r: Resource, verb: string): boolean => r.verbs === undefined || r.verbs.includes(verb as never)

it.each(resources.map(r => [r.kind, r] as const))('%s', async (kind, r) => {
  const { rest } = api
  const path = pathOf(r)
  const key = `${r.group}/${r.plural}`
  const named = sampleNames[key] ?? (short => short)
  const [name, applied] = [named('asked'), named('applied')]
  if (serves(r, 'create')) await expectAsked(`CREATE ${key} ${name}`, kind, () => rest('POST', path, objectOf(r, name)))
  const stored = (): Promise<Reply> => rest('GET', `${path}/${name}`)
  expect((await stored()).code).toBe(200)
  if (serves(r, 'update'))
    await expectAsked(`UPDATE ${key} ${name}`, kind, async () => rest('PUT', `${path}/${name}`, (await stored()).body))
  if (serves(r, 'patch')) {
    const apply = { headers: { 'content-type': 'application/apply-patch+yaml' } }
    await expectAsked(`UPDATE ${key} ${name}`, kind, () => rest('PATCH', `${path}/${name}`, { metadata: { labels: { x: 'y' } } }, merge))
    await expectAsked(`UPDATE ${key} ${name}`, kind, () =>
      rest('PATCH', `${path}/${name}?fieldManager=m&force=1`, objectOf(r, name), apply),
    )
    await expectAsked(`CREATE ${key} ${applied}`, kind, () =>
      rest('PATCH', `${path}/${applied}?fieldManager=m`, objectOf(r, applied), apply),
    )
  }
  for (const [subresource, { verbs, kind: body = kind }] of Object.entries(r.subresources ?? {})) {
    const at = `${path}/${name}/${subresource}`
    const what = `${key}/${subresource} ${name}`
    const own = bodies[body] && { ...bodies[body], metadata: { name } }
    for (const verb of verbs) {
      if (verb === 'create') await expectAsked(`CREATE ${what}`, body, () => rest('POST', `${at}?dryRun=All`, own))
      if (verb === 'update') await expectAsked(`UPDATE ${what}`, body, async () => rest('PUT', at, own ?? (await stored()).body))
      if (verb === 'patch')
        await expectAsked(`UPDATE ${what}`, body, () => rest('PATCH', at, { metadata: { annotations: { p: 'q' } } }, merge))
      if (verb === 'connect')
        for (const method of ['GET', 'POST'])
          await expectAsked(`CONNECT ${what}`, expect.stringMatching(/Options$/) as unknown as string, () => rest(method, at))
    }
  }
  // The last ones with finalizers go by an update.
  if (serves(r, 'delete')) await expectAsked(`DELETE ${key} ${applied}`, kind, () => rest('DELETE', `${path}/${applied}?dryRun=All`))
  if (serves(r, 'deletecollection') && r.namespaced)
    await expectAsked(`DELETE ${key} ${name}`, kind, () => rest('DELETE', `${path}?dryRun=All&fieldSelector=metadata.name%3D${name}`))
})

it('kinds that are answered without a store', async () => {
  const { rest } = api
  await rest('POST', '/api/v1/namespaces/default/pods', pod('bound'))
  await expectAsked('CREATE /bindings bound', 'Binding', () =>
    rest('POST', `${pathOf(bindings)}?dryRun=All`, { metadata: { name: 'bound' }, target: { name: 'n' } }),
  )
  await expectAsked('CREATE authentication.k8s.io/tokenreviews ', 'TokenReview', () =>
    rest('POST', pathOf(tokenReviews), { spec: { token: 'x' } }),
  )
})

it('what is asked tells the options of the request', async () => {
  const { rest } = api
  const path = '/api/v1/namespaces/default/configmaps'
  asked.mutating.length = 0
  await rest('POST', path, { metadata: { name: 'opts' } })
  await rest('PATCH', `${path}/opts`, { data: { a: 'b' } }, merge)
  await rest('DELETE', `${path}/opts`)
  expect(asked.mutating.map(q => q.options)).toEqual(['CreateOptions', 'UpdateOptions', 'DeleteOptions'])
})
