/** Volumes that are directories of nodes: a pod with a claim, and many claims at once. */
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { configMaps, persistentVolumeClaims, persistentVolumes, pods, storageClasses } from '#shared/api/kinds.ts'
import type { Measurement, Row } from './measurement.ts'
import { watchObjects } from './objects.ts'
import { isReady, sleeper, watchPods } from './pods.ts'
import { percentile } from './statistics.ts'

const many = 500
const lanes = 32
/** Writes until a claim is bound: the claim, its provisioner's name, the volume, its phase, the claim's volume, its phase. */
const writes = 6

const claim = (namespace: string, name: string, storageClassName?: string): PersistentVolumeClaim => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { namespace, name },
  spec: {
    accessModes: ['ReadWriteOnce'],
    resources: { requests: { storage: '1Mi' } },
    ...(storageClassName === undefined ? {} : { storageClassName }),
  },
})
async function each(names: readonly string[], work: (name: string) => Promise<unknown>): Promise<void> {
  const left = names.values()
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      for (const name of left) await work(name)
    }),
  )
}

export const measureClaims: Measurement = async bench => {
  const { client, sizes } = bench
  const namespace = await bench.namespace()
  const [podWatch, claimWatch, volumeWatch] = await Promise.all([
    watchPods(client, namespace),
    watchObjects(client, persistentVolumeClaims, namespace),
    watchObjects(client, persistentVolumes, ''),
  ])
  bench.afterwards(podWatch.stop)
  bench.afterwards(claimWatch.stop)
  bench.afterwards(volumeWatch.stop)
  const start = async (name: string, more: object): Promise<number> => {
    const began = performance.now()
    if ('volumes' in more) await client.create(persistentVolumeClaims, namespace, claim(namespace, name))
    await client.create(pods, namespace, sleeper(namespace, name, more))
    await podWatch.until(all => {
      const pod = all.get(name)
      return pod !== undefined && isReady(pod)
    }, `${name} is Ready`)
    return performance.now() - began
  }
  const [withClaim, without]: [number[], number[]] = [[], []]
  for (let i = 0; i <= sizes.repeat; i++) {
    const name = `with-${i}`
    const took = await start(name, { volumes: [{ name: 'data', persistentVolumeClaim: { claimName: name } }] })
    const floor = await start(`without-${i}`, {})
    await client.deleteCollection(pods, namespace)
    await podWatch.until(all => all.size === 0, 'the pods are gone')
    await client.delete(persistentVolumeClaims, namespace, name)
    if (i === 0) continue
    withClaim.push(took)
    without.push(floor)
  }
  const rows: Row[] = [
    {
      name: 'claim and its pod (directory): create to Ready, p50',
      unit: 'ms',
      value: percentile(withClaim, 0.5),
      floor: percentile(without, 0.5),
      floorName: 'a pod without a claim',
      target: 150,
    },
  ]
  const className = `${namespace}-at-once`
  await client.create(storageClasses, '', {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name: className },
    provisioner: 'coxswain.io/local',
    volumeBindingMode: 'Immediate',
  })
  bench.afterwards(() => client.delete(storageClasses, '', className))
  const names = Array.from({ length: many }, (_, i) => `claim-${i}`)
  const before = performance.now()
  await each(names, async name => {
    await client.create(configMaps, namespace, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } })
    for (let i = 1; i < writes; i++) await client.patch(configMaps, namespace, name, 'merge', { data: { i: String(i) } })
  })
  const floor = (performance.now() - before) / 1000
  const began = performance.now()
  await each(names, name => client.create(persistentVolumeClaims, namespace, claim(namespace, name, className)))
  await claimWatch.until(all => names.every(name => all.get(name)?.status?.phase === 'Bound'), 'all are Bound')
  const bound = performance.now()
  await client.deleteCollection(persistentVolumeClaims, namespace)
  await volumeWatch.until(all => ![...all.values()].some(v => v.spec.claimRef?.namespace === namespace), 'their volumes are gone')
  const gone = performance.now()
  const floorName = `${writes} writes each, one after the other, ${lanes} at a time`
  rows.push(
    { name: `${many} claims at once: create to all Bound`, unit: 's', value: (bound - began) / 1000, floor, floorName },
    { name: `${many} claims at once: delete to all volumes gone`, unit: 's', value: (gone - bound) / 1000, floor, floorName },
  )
  return rows
}
