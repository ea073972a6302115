import { expect, test } from 'vitest'
import type { ResourceClaimTemplate } from '#shared/api/resource/resourceclaimtemplate.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { claimFrom } from '#control-plane/controller-manager/resourceclaim/template.ts'

test('a claim is named after its pod and the pod’s name for it, both of which are cut when they are too long', () => {
  const template = { spec: { spec: {} } } as unknown as ResourceClaimTemplate
  const prefix = (pod: string, entry: string) =>
    claimFrom(template, { metadata: { name: pod, uid: 'u' } } as LeanPod, entry).metadata.generateName
  expect(prefix('pod', 'gpu')).toBe('pod-gpu-')
  expect(prefix('p'.repeat(40), 'c'.repeat(40))).toBe(`${'p'.repeat(27)}-${'c'.repeat(27)}`)
  expect(prefix('p'.repeat(200), 'gpu')).toBe(`${'p'.repeat(55)}-`)
})
