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
    ['quay.io/a', 'docker.io', false],
  ])('of %s, %s: %s', (image, key, about) => {
    expect(matching([secret({ [key]: { auth } })], parseReference(image))).toEqual(about ? [{ username: 'me', password: 'pass:word' }] : [])
  })
  test('the most special comes first; what cannot be read is nothing', () => {
    const secrets = [secret({ 'quay.io': { username: 'any', password: 'p' }, 'quay.io/team': { identitytoken: 't' } })]
    const broken = { type: 'kubernetes.io/dockerconfigjson', data: { '.dockerconfigjson': 'bm90IGpzb24=' } } as never
    expect(matching([broken, ...secrets], parseReference('quay.io/team/x'))).toEqual([
      { identityToken: 't' },
      { username: 'any', password: 'p' },
    ])
  })
})
