import { expect, test } from 'vitest'
import type { CertificateSigningRequest } from '#shared/api/certificates/certificatesigningrequest.ts'
import { endOf } from '#control-plane/controller-manager/certificates/cleaner.ts'
import { lifeOf } from '#control-plane/controller-manager/certificates/signing.ts'

const hour = 3600_000
const at = (ms: number) => new Date(ms).toISOString()
const made = Date.parse('2026-01-01T00:00:00Z')
const request = (status: object) => ({ metadata: { creationTimestamp: at(made) }, status }) as unknown as CertificateSigningRequest
const condition = (type: string, hours: number) => ({ type, status: 'True', lastUpdateTime: at(made + hours * hour) })

test('a request goes an hour after its decision, or a day after nobody decided', () => {
  expect(endOf(request({}))).toBe(made + 24 * hour)
  expect(endOf(request({ conditions: [condition('Denied', 3)] }))).toBe(made + 4 * hour)
  expect(endOf(request({ conditions: [condition('Approved', 1), condition('Failed', 2)] }))).toBe(made + 3 * hour)
  expect(endOf(request({ conditions: [condition('Approved', 3)] }))).toBeUndefined()
  expect(endOf(request({ conditions: [condition('Approved', 3)], certificate: 'bm9uc2Vuc2U=' }))).toBe(made + 4 * hour)
})

test('a certificate lives as long as is asked for, within limits', () => {
  expect([lifeOf(undefined, 24 * hour), lifeOf(3600, 24 * hour), lifeOf(1, 24 * hour), lifeOf(1e6, 24 * hour)]).toEqual([
    24 * hour,
    hour,
    600_000,
    24 * hour,
  ])
})
