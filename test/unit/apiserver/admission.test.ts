import { expect, it } from 'vitest'
import { admit, AdmissionRequest, newAdmission, type AdmissionPlugin, type Asked } from '#control-plane/apiserver/admission/admission.ts'
import { targetOfKind } from '#control-plane/apiserver/admission/target.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'

const asked = (more: Partial<Asked> = {}): Asked => ({
  operation: 'CREATE',
  target: targetOfKind({ group: '', version: 'v1', kind: 'Pod', plural: 'pods' }),
  subresource: '',
  namespace: 'n',
  name: 'a',
  object: { kind: 'Pod', apiVersion: 'v1', metadata: { name: 'a' } } as KubeObject,
  old: undefined,
  by: { user: { name: 'u', groups: [] }, dryRun: false, warnings: [], annotations: [] },
  ...more,
})
const label = (name: string, value: string, more: Partial<AdmissionPlugin> = {}): AdmissionPlugin => ({
  name,
  mutate: a => {
    const { object } = a
    const labels = { ...object!.metadata.labels, [name]: `${object!.metadata.labels?.[name] ?? ''}${value}` }
    return { ...object!, metadata: { ...object!.metadata, labels } }
  },
  ...more,
})

it('a plugin may return another object, which the next ones see', () => {
  const r = new AdmissionRequest(asked())
  const before = r.object
  expect(newAdmission([label('a', 'x'), label('b', 'y')]).mutate(r)).toBeUndefined()
  expect(r.object!.metadata.labels).toEqual({ a: 'x', b: 'y' })
  expect(before!.metadata.labels).toBeUndefined()
})

it('what one changes in place counts, too, and those that are late are waited for', async () => {
  const inPlace: AdmissionPlugin = { name: 'i', mutate: a => void (a.object!.metadata.labels = { i: '1' }) }
  const late: AdmissionPlugin = {
    name: 'l',
    mutate: async a => ({ ...a.object!, metadata: { ...a.object!.metadata, annotations: { l: '2' } } }),
  }
  const object = await admit<KubeObject>(newAdmission([inPlace, late, label('z', '3')]), asked())
  expect(object.metadata).toEqual({ name: 'a', labels: { i: '1', z: '3' }, annotations: { l: '2' } })
})

it('after an external change all are asked once more, and no more than that', async () => {
  const object = await admit<KubeObject>(
    newAdmission([label('first', 'x'), label('hook', 'y', { external: true }), label('last', 'z')]),
    asked(),
  )
  expect(object.metadata.labels).toEqual({ first: 'xx', hook: 'yy', last: 'zz' })
  const seen: boolean[] = []
  const watching: AdmissionPlugin = { name: 'w', mutate: a => void seen.push(a.reinvocation) }
  await admit(newAdmission([watching, label('hook', 'y', { external: true })]), asked())
  expect(seen).toEqual([false, true])
})

it('refusals end it; warnings and annotations arrive', async () => {
  const a = asked()
  const plugins: AdmissionPlugin[] = [
    { name: 'w', mutate: r => (r.warn('careful'), r.annotate('k', 'v')) },
    {
      name: 'no',
      validate: () => {
        throw new Error('no')
      },
    },
  ]
  await expect(admit(newAdmission(plugins), a)).rejects.toThrow('no')
  expect(a.by).toMatchObject({ warnings: ['careful'], annotations: [['k', 'v']] })
})
