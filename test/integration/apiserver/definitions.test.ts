/** CustomResourceDefinitions: what is stored is served, by every API server. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encodePem } from '#shared/certificates/pem.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { define as defineIn, definition as definitionOf, definitions, undefine, until as untilIn, version, type Kind } from './define.ts'
import { open } from '../registry/setup.ts'

const table = { group: 'apiextensions.k8s.io', plural: 'customresourcedefinitions' }
let api: ApiServerFixture
let rest: Rest
let other: Rest
beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
  other = (await api.startAnother()).rest
})
afterAll(() => api?.stop())

const group = 'shop.example.com'
const definition = (kind: Omit<Kind, 'group'> & { group?: string }) => definitionOf({ group, ...kind })
const define = (kind: Omit<Kind, 'group'>) => defineIn(rest, { group, ...kind })
const until = (name: string, type: string, status: string) => untilIn(rest, name, type, status)
const remove = (name: string) => undefine(rest, name)
const conditionsOf = (d: any): Record<string, string> =>
  // any: as Rest
  Object.fromEntries(d.status.conditions.map((c: { type: string; status: string; reason: string }) => [c.type, `${c.status} ${c.reason}`]))
const apply = { headers: { 'content-type': 'application/apply-patch+yaml' } }
const merge = { headers: { 'content-type': 'application/merge-patch+json' } }

it('is served by every API server as soon as somebody may know that it is Established', async () => {
  for (let i = 0; i < 10; i++) {
    const { status } = await define({ plural: `things${i}`, kind: `Thing${i}` })
    expect(status).toMatchObject({
      acceptedNames: { plural: `things${i}`, singular: `thing${i}`, kind: `Thing${i}`, listKind: `Thing${i}List` },
      storedVersions: ['v1'],
      conditions: [
        { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts' },
        { type: 'Established', status: 'True', reason: 'InitialNamesAccepted' },
      ],
    })
    const path = `/apis/shop.example.com/v1/namespaces/default/things${i}`
    const made = await other('POST', path, {
      kind: `Thing${i}`,
      apiVersion: 'shop.example.com/v1',
      metadata: { name: 'a' },
      spec: { x: 1 },
    })
    expect(made).toMatchObject({ code: 201, body: { metadata: { generation: 1 }, spec: { size: 1 } } })
    expect((await rest('GET', `${path}/a`)).body).toEqual(made.body)
    expect((await rest('DELETE', `${definitions}/things${i}.shop.example.com`)).code).toBe(200)
  }
})

describe('names', () => {
  it('that another kind of the group has are not given, until that one is gone', async () => {
    await define({ plural: 'apples', kind: 'Apple', names: { shortNames: ['ap'] } })
    const wanted = [
      { plural: 'apes', kind: 'Ape', names: { shortNames: ['ap', 'ape2'] } },
      { plural: 'apps', kind: 'Apple', names: { singular: 'app' } },
      { plural: 'apricots', kind: 'Apricot', names: { singular: 'apple' } },
    ]
    const reasons = ['ShortNamesConflict', 'ListKindConflict', 'SingularConflict']
    for (const [i, kind] of wanted.entries()) {
      expect((await rest('POST', definitions, definition(kind))).code).toBe(201)
      const refused = await until(`${kind.plural}.shop.example.com`, 'NamesAccepted', 'False')
      expect(conditionsOf(refused)).toEqual({ NamesAccepted: `False ${reasons[i]}`, Established: 'False NotAccepted' })
      expect(refused.status.acceptedNames).toMatchObject({ plural: kind.plural })
      expect((await rest('GET', `/apis/shop.example.com/v1/${kind.plural}`)).code).toBe(404)
    }
    await rest('DELETE', `${definitions}/apples.shop.example.com`)
    for (const { plural } of wanted) await until(`${plural}.shop.example.com`, 'Established', 'True')
    for (const { plural } of wanted) await remove(`${plural}.shop.example.com`)
  })

  it('go to one of several definitions that are made at once', async () => {
    const kinds = Array.from({ length: 8 }, (_, i) => ({ plural: `pears${i}`, kind: `Pear${i}`, names: { shortNames: ['pe'] } }))
    await Promise.all(kinds.map((kind, i) => (i % 2 ? rest : other)('POST', definitions, definition(kind))))
    const settled = await Promise.all(
      kinds.map(async ({ plural }) => {
        const watch = await rest.watch(`${definitions}?watch=1&fieldSelector=metadata.name=${plural}.shop.example.com`)
        for (;;) {
          const { object } = await watch.next()
          const { Established, NamesAccepted } = object.status.conditions ? conditionsOf(object) : {}
          if (Established !== 'True InitialNamesAccepted' && NamesAccepted !== 'False ShortNamesConflict') continue
          watch.stop()
          return Established
        }
      }),
    )
    expect(settled.filter(e => e === 'True InitialNamesAccepted')).toHaveLength(1)
    for (const { plural } of kinds) await rest('DELETE', `${definitions}/${plural}.shop.example.com`)
  })

  it('of Kubernetes own groups need an approval', async () => {
    const kind = { plural: 'gates', kind: 'Gate', group: 'example.k8s.io' }
    expect((await rest('POST', definitions, definition(kind))).body).toMatchObject({
      code: 422,
      message: expect.stringContaining('api-approved'),
    })
    const approved = definition(kind)
    Object.assign(approved.metadata, { annotations: { 'api-approved.kubernetes.io': 'unapproved, a test' } })
    expect((await rest('POST', definitions, approved)).code).toBe(201)
    expect(conditionsOf(await until('gates.example.k8s.io', 'Established', 'True'))).toMatchObject({
      KubernetesAPIApprovalPolicyConformant: 'False UnapprovedAnnotation',
    })
    await remove('gates.example.k8s.io')
  })
})

describe('a change of a definition', () => {
  it('is in force everywhere when it is acknowledged, and ends watches; one that says the same does not', async () => {
    const name = 'plums.shop.example.com'
    const path = '/apis/shop.example.com/v1/namespaces/default/plums'
    await define({ plural: 'plums', kind: 'Plum' })
    await rest('POST', path, { kind: 'Plum', apiVersion: 'shop.example.com/v1', metadata: { name: 'a' }, spec: { size: 3 } })
    const watch = await other.watch(`${path}?watch=1`)
    expect(await watch.next()).toMatchObject({ type: 'ADDED', object: { spec: { size: 3 } } })
    await rest('PATCH', `${definitions}/${name}`, { metadata: { labels: { a: 'b' } } }, merge)
    await rest('PATCH', `${path}/a`, { spec: { size: 4 } }, merge)
    expect(await watch.next()).toMatchObject({ type: 'MODIFIED', object: { spec: { size: 4 } } })
    const properties = {
      spec: { type: 'object', properties: { colour: { type: 'string', default: 'blue' }, size: { type: 'integer', maximum: 3 } } },
    }
    const versions = [version('v1', { schema: { openAPIV3Schema: { type: 'object', properties } } })]
    expect((await rest('PATCH', `${definitions}/${name}`, { spec: { versions } }, merge)).code).toBe(200)
    await expect(watch.next()).rejects.toThrow('the watch ended')
    // What is stored is shown as the schema is now, and is not blamed for what it was before.
    for (const by of [rest, other]) {
      expect((await by('GET', `${path}/a`)).body.spec).toEqual({ colour: 'blue', size: 4 })
      expect((await by('GET', path)).body.items[0].spec).toEqual({ colour: 'blue', size: 4 })
    }
    const patched = await other('PATCH', `${path}/a`, { metadata: { labels: { a: 'b' } } }, merge)
    expect(patched.body.spec).toEqual({ colour: 'blue', size: 4 })
    expect((await other('PATCH', `${path}/a`, { spec: { size: 5 } }, merge)).body).toMatchObject({ code: 422 })
    await remove(name)
  })
})

describe('deletion', () => {
  it('empties the kind, taking no new objects meanwhile', async () => {
    const name = 'figs.shop.example.com'
    const path = '/apis/shop.example.com/v1/namespaces/default/figs'
    const fig = (object: string, more = {}) => ({ kind: 'Fig', apiVersion: 'shop.example.com/v1', metadata: { name: object, ...more } })
    await define({ plural: 'figs', kind: 'Fig' })
    await rest('POST', path, fig('a'))
    await rest('POST', path, fig('held', { finalizers: ['shop.example.com/hold'] }))
    const deleted = await rest('DELETE', `${definitions}/${name}`)
    expect(deleted.body).toMatchObject({
      kind: 'CustomResourceDefinition',
      metadata: { deletionTimestamp: expect.any(String), finalizers: ['customresourcecleanup.apiextensions.k8s.io'] },
    })
    const refused = {
      code: 403,
      reason: 'Forbidden',
      message: 'figs.shop.example.com "b" is forbidden: create not allowed while custom resource definition is terminating',
    }
    for (const by of [rest, other]) {
      expect((await by('POST', path, fig('b'))).body).toMatchObject(refused)
      expect((await by('PATCH', `${path}/b?fieldManager=m`, fig('b'), apply)).body).toMatchObject(refused)
    }
    const { resources } = (await rest('GET', '/apis/shop.example.com/v1')).body
    expect(resources.find((r: { name: string }) => r.name === 'figs').verbs).toEqual(['delete', 'deletecollection', 'get', 'list', 'watch'])
    const watch = await rest.watch(`${path}?watch=1&fieldSelector=metadata.name=held`)
    while (!(await watch.next()).object.metadata.deletionTimestamp);
    expect((await rest('GET', `${definitions}/${name}`)).body.status.conditions).toContainEqual(
      expect.objectContaining({ type: 'Terminating', status: 'True', reason: 'InstanceDeletionInProgress' }),
    )
    const gone = await rest.watch(`${definitions}?watch=1&fieldSelector=metadata.name=${name}`)
    expect((await rest('PATCH', `${path}/held`, { metadata: { finalizers: null } }, merge)).code).toBe(200)
    while ((await gone.next()).type !== 'DELETED');
    gone.stop()
    for (const by of [rest, other]) expect((await by('GET', path)).code).toBe(404)
    // Nothing is left for a kind that comes after it.
    await define({ plural: 'figs', kind: 'Fig' })
    expect((await rest('GET', path)).body.items).toEqual([])
    await remove(name)
  })

  it('that somebody holds up takes no objects when the kind is empty already', async () => {
    const name = 'nuts.shop.example.com'
    const path = '/apis/shop.example.com/v1/namespaces/default/nuts'
    await define({ plural: 'nuts', kind: 'Nut' })
    await rest('PATCH', `${definitions}/${name}`, { metadata: { finalizers: ['shop.example.com/hold'] } }, merge)
    const watch = await rest.watch(`${definitions}?watch=1&fieldSelector=metadata.name=${name}`)
    await rest('DELETE', `${definitions}/${name}`)
    const emptied = (d: any): boolean => d.status?.conditions?.some((c: any) => c.reason === 'InstanceDeletionCompleted') // any: as Rest
    while (!emptied((await watch.next()).object));
    expect((await rest('POST', path, { kind: 'Nut', apiVersion: 'shop.example.com/v1', metadata: { name: 'a' } })).code).toBe(403)
    await rest('PATCH', `${definitions}/${name}`, { metadata: { finalizers: null } }, merge)
    while ((await watch.next()).type !== 'DELETED');
    watch.stop()
  })
})

describe('a webhook that converts', () => {
  const conversion = (caBundle: string) => ({
    strategy: 'Webhook',
    webhook: {
      conversionReviewVersions: ['v1'],
      clientConfig: { caBundle: Buffer.from(caBundle).toString('base64'), service: { namespace: 'default', name: 'c' } },
    },
  })
  const pem = encodePem('CERTIFICATE', Buffer.from('nobody'))

  it('is trusted by certificates that can be read before the kind is served, and as long', async () => {
    const name = 'hooks.shop.example.com'
    const made = definition({ plural: 'hooks', kind: 'Hook' })
    await rest('POST', definitions, { ...made, spec: { ...made.spec, conversion: conversion(pem) } })
    const waits = await until(name, 'Established', 'False')
    expect(waits.metadata.name).toBe(name)
    const watch = await rest.watch(`${definitions}?watch=1&fieldSelector=metadata.name=${name}`)
    const told = (d: any): any => d.status?.conditions?.find((c: any) => c.reason === 'InvalidCABundle') // any: as Rest
    let found: any
    while (!found) found = told((await watch.next()).object)
    expect(found).toMatchObject({ type: 'Established', status: 'False', message: 'The conversion webhook CABundle is invalid' })
    watch.stop()
    await rest('PATCH', `${definitions}/${name}`, { spec: { conversion: { strategy: 'None', webhook: null } } }, merge)
    await until(name, 'Established', 'True')
    const wrong = await rest('PATCH', `${definitions}/${name}`, { spec: { conversion: conversion('not PEM') } }, merge)
    expect(wrong.body.details.causes[0]).toMatchObject({
      field: 'spec.conversion.webhookClientConfig.caBundle',
      message: expect.stringContaining('unable to load root certificates: unable to parse bytes as PEM block'),
    })
    await remove(name)
  })
})

it('is served by a server that starts, before that is ready', async () => {
  await define({ plural: 'grapes', kind: 'Grape' })
  const late = await api.startAnother()
  expect((await late.rest('GET', '/apis/shop.example.com/v1/grapes')).body).toMatchObject({ kind: 'GrapeList', items: [] })
  await late.server.close()
  await remove('grapes.shop.example.com')
})

it('does not take a server down when it is stored otherwise than it may be', async () => {
  const broken = definition({ plural: 'broken', kind: 'Broken' })
  const registry = await open(api.nats)
  const put = (object: object) => registry.put(table, '', 'broken.shop.example.com', object as KubeObject, 0)
  const status = { acceptedNames: { plural: 'broken', kind: 'Broken' }, conditions: [{ type: 'Established', status: 'True' }] }
  const { version: v } = await put({ ...broken, spec: { ...broken.spec, versions: null }, status })
  await define({ plural: 'sound', kind: 'Sound' })
  await registry.remove(table, '', 'broken.shop.example.com', v)
  const unreadable = version('v1', {
    schema: { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'string', pattern: '(' } } } },
  })
  const other = await put({ ...broken, spec: { ...broken.spec, versions: [unreadable] }, status })
  await registry.fresh()
  const object = { kind: 'Broken', apiVersion: 'shop.example.com/v1', metadata: { name: 'a' }, spec: 'x' }
  expect((await rest('POST', '/apis/shop.example.com/v1/namespaces/default/broken', object)).code).toBe(422)
  await registry.remove(table, '', 'broken.shop.example.com', other.version)
  await registry.close()
  await remove('sound.shop.example.com')
})
