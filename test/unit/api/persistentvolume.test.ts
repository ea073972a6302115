import { expect, it } from 'vitest'
import type { PersistentVolumeSpec } from '#shared/api/core/persistentvolume.ts'
import { validatePersistentVolumeUpdate } from '#shared/api/core/persistentvolumevalidation.ts'
import { Path } from '#shared/machinery/field.ts'

const at = (key: string, value = 'a'): PersistentVolumeSpec => ({
  capacity: { storage: '1Gi' },
  nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [{ key, operator: 'In', values: [value] }] }] } },
})
const update = (next: PersistentVolumeSpec, old: PersistentVolumeSpec) =>
  validatePersistentVolumeUpdate(next, old, new Path('')).map(e => `${e.field}: ${e.message.replace(/^Invalid value: .*: field/, 'field')}`)
const refused = ['nodeAffinity: field is immutable, except for updating from beta label to GA']

it.each([
  ['failure-domain.beta.kubernetes.io/zone', 'topology.kubernetes.io/zone'],
  ['failure-domain.beta.kubernetes.io/region', 'topology.kubernetes.io/region'],
  ['beta.kubernetes.io/os', 'kubernetes.io/os'],
  ['beta.kubernetes.io/arch', 'kubernetes.io/arch'],
  ['beta.kubernetes.io/instance-type', 'node.kubernetes.io/instance-type'],
])('the label %s of a node affinity may become %s, not the other way', (former, current) => {
  expect(update(at(current), at(former))).toEqual([])
  expect(update(at(former), at(former))).toEqual([])
  expect(update(at(former), at(current))).toEqual(refused)
  expect(update(at(current, 'b'), at(former))).toEqual(refused)
})

it('a node affinity may be added, and not taken away', () => {
  const { nodeAffinity: _, ...none } = at('a')
  expect(update(at('a'), none)).toEqual([])
  expect(update(none, at('a'))).toEqual(refused)
})
