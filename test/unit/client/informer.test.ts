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

/** A transport that answers from a script: each entry is a list body or the chunks of one watch. */
function scripted(script: ({ list: KubeObject[]; version: number } | { watch: string[]; hang?: boolean } | { fail: string })[]): {
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
        if ('list' in step) return json(200, { metadata: { resourceVersion: String(step.version) }, items: step.list })
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

test('follows list and watch over broken streams, resumes, and lists again after 410', async () => {
  const stop = new AbortController()
  const { transport, paths } = scripted([
    { fail: 'no server' },
    { list: [object('a', 1), object('b', 2)], version: 5 },
    // One event in two chunks, split inside; then the stream ends.
    { watch: [line('MODIFIED', object('a', 6)).slice(0, 20), line('MODIFIED', object('a', 6)).slice(20) + line('ADDED', object('c', 7))] },
    {
      watch: [
        line('BOOKMARK', { metadata: { resourceVersion: '9' } }),
        line('ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' }),
      ],
    },
    { list: [object('a', 6), object('d', 11)], version: 12 },
    { watch: [line('DELETED', object('d', 13))], hang: true },
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
  expect(paths.filter(p => p.includes('watch=true')).map(p => new URLSearchParams(p.split('?')[1]).get('resourceVersion'))).toEqual([
    '5',
    '7',
    '12',
  ])
  const late: string[] = []
  informer.subscribe(e => late.push(`${e.type} ${(e.object as KubeObject).metadata.name}`))
  expect(late).toEqual(['ADDED a'])
  stop.abort()
})

test('what waits for a version of a registry that was replaced by an older one goes on at the next list', async () => {
  const stop = new AbortController()
  const { transport } = scripted([
    { list: [object('a', 1)], version: 50 },
    { watch: [line('ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' })] },
    { list: [object('a', 3)], version: 5 },
    { watch: [], hang: true },
  ])
  const informer = startInformer(newClient(transport), configMaps as never, { log: pino({ level: 'silent' }) }, stop.signal)
  await informer.reached(60)
  expect(informer.version).toBe(5)
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
  const { transport } = scripted([
    { list: [pod('listed', 1)], version: 5 },
    { watch: [line('ADDED', pod('watched', 6))], hang: true },
  ])
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
