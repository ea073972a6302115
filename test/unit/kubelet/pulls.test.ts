import { describe, expect, test } from 'vitest'
import type { Secret } from '#shared/api/core/secret.ts'
import { matching } from '#node-agent/kubelet/images/credentials.ts'
import { imagePuller } from '#node-agent/kubelet/images/puller.ts'
import type { ImageConfig, ImageService } from '#node-agent/runtime/imageservice.ts'
import { parseReference } from '#node-agent/runtime/images/reference.ts'

const config = (image: string): ImageConfig => ({ image, id: image, entrypoint: [], cmd: [], env: [], workingDir: '/', user: '' })

/** A registry whose pulls end when the test says so. */
function registry() {
  const under = new Map<string, () => void>()
  const service = {
    pull: (image: string, { signal }: { signal: AbortSignal }) =>
      new Promise<ImageConfig>((resolve, reject) => {
        under.set(image, () => resolve(config(image)))
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
      }),
  } as unknown as ImageService
  return { service, under }
}

describe('pulls', () => {
  const { signal } = new AbortController()
  test('one after the other, in the order they were asked for; one that is given up makes room', async () => {
    const { service, under } = registry()
    const puller = imagePuller(service, 1)
    const stop = new AbortController()
    const [first, second, third] = ['a', 'b', 'c'].map((image, n) => puller.pull(image, [], n === 1 ? stop.signal : signal))
    await expect.poll(() => [...under.keys()]).toEqual(['a'])
    stop.abort(new Error('the pod ended'))
    await expect(second).rejects.toThrow('the pod ended')
    under.get('a')!()
    expect((await first!).image.id).toBe('a')
    await expect.poll(() => [...under.keys()]).toEqual(['a', 'c'])
    under.get('c')!()
    expect((await third!).image.id).toBe('c')
  })
  test('pods that want the same image wait for one pull, which ends when nobody waits any more', async () => {
    const { service, under } = registry()
    let pulls = 0
    const counted = { ...service, pull: (...of: Parameters<ImageService['pull']>) => (pulls++, service.pull(...of)) } as ImageService
    const puller = imagePuller(counted, 1)
    const stops = [new AbortController(), new AbortController()]
    const both = stops.map(stop => puller.pull('a', [], stop.signal))
    const other = puller.pull('a', [{ username: 'x' }], signal)
    await expect.poll(() => pulls).toBe(1)
    stops[0]!.abort(new Error('the pod ended'))
    await expect(both[0]).rejects.toThrow('the pod ended')
    under.get('a')!()
    expect((await both[1]!).image.id).toBe('a')
    await expect.poll(() => pulls).toBe(2)
    under.get('a')!()
    await other
    const last = [new AbortController(), new AbortController()]
    const given = last.map(stop => puller.pull('b', [], stop.signal))
    await expect.poll(() => pulls).toBe(3)
    for (const stop of last) stop.abort(new Error('the pod ended'))
    for (const one of given) await expect(one).rejects.toThrow('the pod ended')
    // The place is free again.
    const next = puller.pull('c', [], signal)
    await expect.poll(() => pulls).toBe(4)
    under.get('c')!()
    await next
  })
  test('as many side by side as they may', async () => {
    const { service, under } = registry()
    const puller = imagePuller(service, 2)
    for (const image of ['a', 'b', 'c']) void puller.pull(image, [], signal)
    await expect.poll(() => [...under.keys()]).toEqual(['a', 'b'])
  })
})

describe('imagePullSecrets', () => {
  const secret = (auths: object): Secret =>
    ({
      type: 'kubernetes.io/dockerconfigjson',
      data: { '.dockerconfigjson': Buffer.from(JSON.stringify({ auths })).toString('base64') },
    }) as never
  const auth = Buffer.from('me:pass:word').toString('base64')
  test.each([
    ['busybox', 'https://index.docker.io/v1/', true],
    ['quay.io/a/b', 'quay.io', true],
    ['quay.io/a/b', 'quay.io/a', true],
    ['quay.io/ab/c', 'quay.io/a', false],
    ['reg.example.com:5000/x', 'reg.example.com:5000', true],
    ['reg.example.com/x', '*.example.com', true],
    ['app1.example.com/x', 'app*.example.com', true],
    ['1app.example.com/x', 'app*.example.com', false],
    ['quay.io/a', 'docker.io', false],
  ])('of %s, %s: %s', (image, key, about) => {
    expect(matching([secret({ [key]: { auth } })], parseReference(image)).map(c => c.credentials)).toEqual(
      about ? [{ username: 'me', password: 'pass:word' }] : [],
    )
  })
  test('the most special comes first; what cannot be read is nothing', () => {
    const secrets = [secret({ 'quay.io': { username: 'any', password: 'p' }, 'quay.io/team': { identitytoken: 't' } })]
    const broken = { type: 'kubernetes.io/dockerconfigjson', data: { '.dockerconfigjson': 'bm90IGpzb24=' } } as never
    expect(matching([broken, ...secrets], parseReference('quay.io/team/x')).map(c => c.credentials)).toEqual([
      { identityToken: 't' },
      { username: 'any', password: 'p' },
    ])
  })
})
