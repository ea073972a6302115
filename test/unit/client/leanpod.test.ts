import { expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import { pods } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { leanPod, type LeanPod } from '#shared/client/leanpod.ts'

const pod = {
  metadata: { name: 'web' },
  spec: {
    containers: [{ name: 'c', image: 'i', command: ['sh'], ports: [{ containerPort: 80 }] }],
    ephemeralContainers: [{ name: 'debug' }],
    volumes: [
      { name: 'config', configMap: { name: 'c' } },
      { name: 'claim', persistentVolumeClaim: { claimName: 'c' } },
      { name: 'driver', csi: { driver: 'd' } },
    ],
  },
} as Pod

test('what is taken from a pod can neither be read nor written back: it does not compile', () => {
  const lean: LeanPod = structuredClone(pod)
  leanPod(lean as Pod)
  // @ts-expect-error: the command is not there
  const command: string[] | undefined = lean.spec.containers[0]!.command
  expect(command).toBeUndefined()
  // @ts-expect-error: environment is not there
  const env: { name: string }[] | undefined = lean.spec.initContainers?.[0]?.env
  expect(env).toBeUndefined()
  const written: unknown[] = []
  const client = { update: async (_: unknown, object: unknown) => written.push(object) } as unknown as Client
  // @ts-expect-error: a whole pod is wanted
  void client.update(pods, lean)
  void client.update(pods, pod)
  expect(written).toHaveLength(2)
  expect(JSON.parse(JSON.stringify(lean.spec))).toEqual({
    containers: [{ name: 'c', image: 'i', ports: [{ containerPort: 80 }] }],
    volumes: [
      { name: 'claim', persistentVolumeClaim: { claimName: 'c' } },
      { name: 'driver', csi: { driver: 'd' } },
    ],
  })
})
