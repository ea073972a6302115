/** The pods that measurements make, and waiting for them. */
import type { Pod } from '#shared/api/core/pod.ts'
import { pods } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { watchObjects, type Watched } from './objects.ts'

/** A pod that ends at once when told to. */
export const sleeper = (namespace: string, name: string, more: object = {}): Pod =>
  podOf(namespace, name, { containers: [{ name: 'main', image: 'pause' }], ...more })

/** A pod that nobody runs: it is only stored. */
export const stored = (namespace: string, name: string): Pod =>
  podOf(namespace, name, {
    schedulerName: 'none',
    containers: [
      { name: 'main', image: 'busybox', args: ['sleep', '3600'], env: [{ name: 'A', value: 'a' }], ports: [{ containerPort: 80 }] },
    ],
  })

export const podOf = (namespace: string, name: string, spec: object): Pod =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels: { app: name } },
    spec: { terminationGracePeriodSeconds: 1, ...spec },
  }) as unknown as Pod

export const isReady = (pod: Pod): boolean => pod.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True') ?? false

export const watchPods = (client: Client, namespace: string): Promise<Watched<Pod>> => watchObjects(client, pods, namespace)
