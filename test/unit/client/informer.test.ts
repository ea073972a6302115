import fc from 'fast-check'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { configMaps, pods } from '#shared/api/kinds.ts'
import { Cache } from '#shared/client/cache.ts'
import type { InformerEvent } from '#shared/client/informer.ts'
import { leanPod } from '#shared/client/leanpod.ts'
import { replacement, startInformer } from '#shared/client/reflector.ts'
import { newClient } from '#shared/client/rest.ts'
import type { ApiResponse, Transport } from '#shared/bus/transport.ts'

const object = (name: string, version: number, uid = name): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'ns', uid, resourceVersion: String(version) },
})

const objects = fc.uniqueArray(
  fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd'), version: fc.integer({ min: 1, max: 4 }), uid: fc.constantFrom('x', 'y') }),
  { selector: o => o.name },
)

test('the difference of two lists leads from one to the other', () => {
  fc.assert(
    fc.property(objects, objects, (before, after) => {
      const cache = new Cache<KubeObject>()
      for (const o of before) cache.set(object(o.name, o.version, o.uid))
      const events = replacement(
        cache,
        after.map(o => object(o.name, o.version, o.uid)),
      )
      for (const e of events) {
        if (e.type === 'DELETED') cache.delete(Cache.keyOf(e.object))
        else {
          expect(cache.get(Cache.keyOf(e.object)) !== undefined).toBe(e.type === 'MODIFIED')
          cache.set(e.object)
        }
      }
      const shown = (list: { name: string; version: number; uid: string }[]) => list.map(o => `${o.name} ${o.version} ${o.uid}`).sort()
      expect(
        cache
          .all()
          .map(o => `${o.metadata.name} ${o.metadata.resourceVersion} ${o.metadata.uid}`)
          .sort(),
      ).toEqual(shown(after))
    }),
  )
})

test('indexes follow the objects', () => {
  const cache = new Cache<KubeObject>()
  cache.addIndex('uid', o => [o.metadata.uid ?? ''])
  cache.set(object('a', 1, 'x'))
  cache.set(object('a', 2, 'y'))
  cache.set(object('b', 2, 'y'))
  expect(cache.byIndex('uid', 'x')).toEqual([])
  expect(cache.byIndex('uid', 'y').map(o => o.metadata.name)).toEqual(['a', 'b'])
  cache.delete('ns/a')
  expect(cache.byIndex('uid', 'y').map(o => o.metadata.name)).toEqual(['b'])
  expect(cache.byIndex('namespace', 'ns')).toHaveLength(1)
})

/** A step of a script: a list body, the chunks of one watch, or a failure. */
type Step =
  { list: KubeObject[]; version: number; continue?: string } | { watch: string[]; hang?: boolean } | { fail: string } | { refuse: number }

/** A transport that answers from a script. */
function scripted(script: Step[]): {
  transport: Transport
  paths: string[]
} {
  const paths: string[] = []
  const json = (code: number, body: unknown): ApiResponse => ({
    code,
    headers: { 'content-type': 'application/json' },
    body: Buffer.from(JSON.stringify(body)),
  })
  return {
    paths,
    transport: {
      async request({ path, query, signal }) {
        paths.push(`${path}?${query}`)
        const step = script.shift()
        if (!step) return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(new Error('aborted'))))
        if ('fail' in step) throw new Error(step.fail)
        if ('refuse' in step) return json(step.refuse, { kind: 'Status', code: step.refuse, reason: 'Invalid', message: 'no' })
        if ('list' in step)
          return json(200, { metadata: { resourceVersion: String(step.version), continue: step.continue }, items: step.list })
        return {
          code: 200,
          headers: {},
          body: (async function* () {
            for (const chunk of step.watch) yield Buffer.from(chunk)
            if (step.hang) await new Promise(resolve => signal?.addEventListener('abort', resolve))
          })(),
        }
      },
      async close() {},
    },
  }
}
const line = (type: string, o: unknown) => `${JSON.stringify({ type, object: o })}\n`
/** The beginning of a watch: what is there, and that this is all. */
const initial = (objects: KubeObject[], version: number): string[] => [
  ...objects.map(o => line('ADDED', o)),
  line('BOOKMARK', { metadata: { resourceVersion: String(version), annotations: { 'k8s.io/initial-events-end': 'true' } } }),
]
const tooOld = line('ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' })

test('follows watches over broken streams, resumes, and begins anew after 410', async () => {
  const stop = new AbortController()
  const { transport, paths } = scripted([
    { fail: 'no server' },
    // The stream ends before all is there: that counts for nothing.
    { watch: initial([object('x', 1)], 5).slice(0, 1) },
    {
      watch: [
        ...initial([object('a', 1), object('gone', 1)], 5).slice(0, 2),
        // Before all that is there at first has come.
        line('DELETED', object('gone', 2)),
        ...initial([object('b', 2)], 5),
      ],
    },
    // One event in two chunks, split inside; then the stream ends.
    { watch: [line('MODIFIED', object('a', 6)).slice(0, 20), line('MODIFIED', object('a', 6)).slice(20) + line('ADDED', object('c', 7))] },
    {
      watch: [line('BOOKMARK', { metadata: { resourceVersion: '9' } }), tooOld],
    },
    { watch: [...initial([object('a', 6), object('d', 11)], 12), line('DELETED', object('d', 13))], hang: true },
  ])
  const client = newClient(transport)
  const informer = startInformer(client, configMaps as never, { log: pino({ level: 'silent' }) }, stop.signal)
  const seen: string[] = []
  informer.subscribe((e: InformerEvent<KubeObject>) =>
    seen.push(`${e.type} ${e.object.metadata.name} ${e.object.metadata.resourceVersion} ${e.previous?.metadata.resourceVersion ?? '-'}`),
  )
  await informer.synced
  await informer.reached(13)
  expect(seen).toEqual([
    'ADDED a 1 -',
    'ADDED b 2 -',
    'MODIFIED a 6 1',
    'ADDED c 7 -',
    'DELETED b 2 2',
    'DELETED c 7 7',
    'ADDED d 11 -',
    'DELETED d 13 11',
  ])
  expect(informer.list().map(o => o.metadata.name)).toEqual(['a'])
  const asked = paths.map(p => new URLSearchParams(p.split('?')[1])).map(q => q.get('resourceVersion') ?? q.get('sendInitialEvents'))
  expect(asked).toEqual(['true', 'true', 'true', '5', '7', 'true'])
  const late: string[] = []
  informer.subscribe(e => late.push(`${e.type} ${(e.object as KubeObject).metadata.name}`))
  expect(late).toEqual(['ADDED a'])
  stop.abort()
})

test('what waits for a version of a registry that was replaced by an older one goes on at the next list', async () => {
  const stop = new AbortController()
  const { transport } = scripted([
    { watch: [...initial([object('a', 1)], 50), tooOld] },
    { watch: initial([object('a', 3)], 5), hang: true },
  ])
  const informer = startInformer(newClient(transport), configMaps as never, { log: pino({ level: 'silent' }) }, stop.signal)
  await informer.reached(60)
  expect(informer.version).toBe(5)
  stop.abort()
})

test('lists in parts where the server does not send what is there by a watch', async () => {
  const stop = new AbortController()
  const { transport, paths } = scripted([
    { refuse: 422 },
    { list: [object('a', 1)], version: 7, continue: 'next' },
    { list: [object('b', 1)], version: 7 },
    { watch: [line('ADDED', object('c', 8))], hang: true },
  ])
  const informer = startInformer(newClient(transport), configMaps as never, { log: pino({ level: 'silent' }) }, stop.signal)
  await informer.reached(8)
  expect(informer.list().map(o => (o as KubeObject).metadata.name)).toEqual(['a', 'b', 'c'])
  expect(paths.slice(1).map(p => Object.fromEntries(new URLSearchParams(p.split('?')[1])))).toEqual([
    { limit: '1000' },
    { limit: '1000', continue: 'next' },
    expect.objectContaining({ resourceVersion: '7' }),
  ])
  stop.abort()
})

test('waits longer each time that it loses its place', async () => {
  const stop = new AbortController()
  const { transport, paths } = scripted(Array.from({ length: 4 }, (_, i) => ({ watch: [...initial([], 5 + i), tooOld] })))
  const began = performance.now()
  const informer = startInformer(newClient(transport), configMaps as never, { log: pino({ level: 'silent' }) }, stop.signal)
  await informer.reached(8)
  // 400 + 800 + 1600 ms, each spread by half: a lower bound, whatever the load.
  expect(performance.now() - began).toBeGreaterThan(1400)
  expect(paths.length).toBeGreaterThanOrEqual(4)
  stop.abort()
})

test('keeps no managed fields, and of pods what the control plane reads', async () => {
  const stop = new AbortController()
  const pod = (name: string, version: number) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', uid: name, resourceVersion: String(version), managedFields: [{ manager: 'kubectl' }] },
    spec: {
      containers: [
        {
          name: 'main',
          image: 'busybox',
          command: ['sh'],
          env: [{ name: 'A', value: 'a' }],
          ports: [{ name: 'web', containerPort: 80 }],
          resources: { requests: { cpu: '1' } },
          volumeMounts: [{ name: 'data', mountPath: '/data' }],
        },
      ],
      volumes: [
        { name: 'data', persistentVolumeClaim: { claimName: 'data' } },
        { name: 'token', projected: {} },
      ],
    },
  })
  const { transport } = scripted([{ watch: [...initial([pod('listed', 1)], 5), line('ADDED', pod('watched', 6))], hang: true }])
  const informer = startInformer(newClient(transport), pods, { log: pino({ level: 'silent' }), strip: leanPod }, stop.signal)
  await informer.synced
  await informer.reached(6)
  for (const name of ['listed', 'watched']) {
    const { metadata, spec } = JSON.parse(JSON.stringify(informer.get('default', name))) as Pod
    expect(metadata).not.toHaveProperty('managedFields')
    expect(spec).toEqual({
      containers: [{ name: 'main', image: 'busybox', ports: [{ name: 'web', containerPort: 80 }], resources: { requests: { cpu: '1' } } }],
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }],
    })
  }
  stop.abort()
})
