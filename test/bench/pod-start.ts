/** From the create of a pod to Ready, one at a time. */
import { pods } from '#shared/api/kinds.ts'
import { openRunc } from './floor/runc.ts'
import type { Measurement } from './measurement.ts'
import { isReady, sleeper, watchPods } from './pods.ts'
import { percentile } from './statistics.ts'

export const measurePodStart: Measurement = async bench => {
  const { client, sizes } = bench
  const namespace = await bench.namespace()
  const watch = await watchPods(client, namespace)
  bench.afterwards(watch.stop)
  const runc = await openRunc()
  bench.afterwards(runc.close)
  const ready: number[] = []
  const gone: number[] = []
  const floors: number[] = []
  // The first pod of an image lays it out.
  for (let i = 0; i <= sizes.repeat; i++) {
    const name = `pod-${i}`
    const began = performance.now()
    await client.create(pods, namespace, sleeper(namespace, name))
    await watch.until(all => {
      const pod = all.get(name)
      return pod !== undefined && isReady(pod)
    }, `${name} is Ready`)
    const up = performance.now()
    await client.delete(pods, namespace, name)
    await watch.until(all => !all.has(name), `${name} is gone`)
    const floor = await runc.run()
    if (i === 0) continue
    ready.push(up - began)
    gone.push(performance.now() - up - floor)
    floors.push(floor)
  }
  const row = (what: string, samples: number[], p: number, target?: number) => ({
    name: `${what}, p${p * 100}`,
    unit: 'ms' as const,
    value: percentile(samples, p),
    floor: percentile(floors, p),
    floorName: '`runc run` of `true` to its end',
    ...(target === undefined ? {} : { target }),
  })
  return [row('pod: create to Ready', ready, 0.5, 150), row('pod: create to Ready', ready, 0.99), row('pod: delete to gone', gone, 0.5)]
}
