import { expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Secret } from '#shared/api/core/secret.ts'
import type { ServiceAccount } from '#shared/api/core/serviceaccount.ts'
import { secretsOf, verdict } from '#control-plane/controller-manager/legacytokencleaner.ts'

const day = 24 * 3600_000
const now = Date.parse('2026-03-10T12:00:00Z')
const account = { metadata: { name: 'a' }, secrets: [{ name: 'token' }] } as ServiceAccount
const secret = (labels: Record<string, string> = {}, over: object = {}): Secret =>
  ({
    type: 'kubernetes.io/service-account-token',
    metadata: { name: 'token', creationTimestamp: '2026-01-01T00:00:00Z', labels, ...over },
  }) as Secret
const used = 'kubernetes.io/legacy-token-last-used'
const invalid = 'kubernetes.io/legacy-token-invalid-since'
const judged = (s: Secret, a: ServiceAccount | undefined = account) => verdict(s, a, now, 30 * day)

test('a token that nobody used for long is first invalid, then gone', () => {
  expect(judged(secret())).toBe('invalidate')
  expect(judged(secret({ [used]: '2026-02-07' }))).toBe('invalidate')
  expect(judged(secret({ [used]: '2026-02-07', [invalid]: '2026-02-08' }))).toBe('keep')
  expect(judged(secret({ [used]: '2026-01-07', [invalid]: '2026-02-07' }))).toBe('delete')
  expect(judged(secret({ [invalid]: 'yesterday' }))).toBe('invalidate')
})
test('one that is young, was used, or was made by hand stays', () => {
  expect(judged(secret({ [used]: '2026-02-08' }))).toBe('keep')
  expect(judged(secret({ [used]: 'yesterday' }))).toBe('keep')
  expect(judged(secret({}, { creationTimestamp: '2026-03-01T00:00:00Z' }))).toBe('keep')
  expect(judged(secret({}, { deletionTimestamp: '2026-03-01T00:00:00Z' }))).toBe('keep')
  expect(judged({ ...secret(), type: 'Opaque' })).toBe('keep')
  expect(verdict(secret(), undefined, now, 30 * day)).toBe('keep')
  expect(judged(secret(), { metadata: {}, secrets: [{ name: 'another' }] } as ServiceAccount)).toBe('keep')
})
test('a pod uses Secrets in many ways', () => {
  const spec = {
    imagePullSecrets: [{ name: 'pull' }],
    containers: [
      {
        name: 'c',
        envFrom: [{ secretRef: { name: 'from' } }],
        env: [{ name: 'X', valueFrom: { secretKeyRef: { name: 'key', key: 'k' } } }],
      },
    ],
    volumes: [
      { name: 'v', secret: { secretName: 'volume' } },
      { name: 'p', projected: { sources: [{ secret: { name: 'projected' } }, { configMap: { name: 'no' } }] } },
      { name: 'd', csi: { driver: 'd', nodePublishSecretRef: { name: 'driver' } } },
      { name: 'f', azureFile: { secretName: 'azure', shareName: 's' } },
      { name: 'x', flexVolume: { driver: 'd', secretRef: { name: 'flex' } } },
    ],
  }
  expect(new Set(secretsOf({ metadata: {}, spec } as unknown as Pod))).toEqual(
    new Set(['pull', 'from', 'key', 'volume', 'projected', 'driver', 'azure', 'flex']),
  )
})
