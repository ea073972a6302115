/** What a create takes longer through a webhook on this machine: ConfigMaps are made in turn with it, with a changing one, and without. */
import { Agent, request } from 'node:https'
import { openFloorServer } from './floor/https.ts'
import type { Measurement, Row } from './measurement.ts'
import { median } from './statistics.ts'

const configurations = '/apis/admissionregistration.k8s.io/v1'
/** Creates of each kind for each of the `repeat`s. */
const each = 10
/** Other webhooks, which ask for other things: a policy engine's. */
const others = 100

export const measureWebhook: Measurement = async bench => {
  const { cluster, client, sizes, say, afterwards } = bench
  const namespace = await bench.namespace()
  const hook = await openFloorServer(cluster, 'webhook')
  afterwards(hook.close)
  const ca = cluster.pem('ca.crt')
  const caBundle = Buffer.from(ca).toString('base64')
  const webhook = (path: string, hooked: string, resource = 'configmaps') => ({
    name: `${path}.bench.example.com`,
    clientConfig: { url: `${hook.url}/${path}`, caBundle },
    rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: [resource] }],
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
    objectSelector: { matchLabels: { hooked } },
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
  })
  const configure = async (kind: string, webhooks: object[]): Promise<void> => {
    const path = `${configurations}/${kind}webhookconfigurations`
    await client.raw('POST', path, { metadata: { name: namespace }, webhooks })
    afterwards(() => client.raw('DELETE', `${path}/${namespace}`))
  }
  let made = 0
  const create = async (hooked: string): Promise<number> => {
    const name = `c-${made++}`
    const start = performance.now()
    await client.raw('POST', `/api/v1/namespaces/${namespace}/configmaps`, { metadata: { name, labels: { hooked } }, data: { a: '1' } })
    return performance.now() - start
  }
  /** In turn, so that what else happens on the machine happens to all. */
  const round = async (kinds: readonly string[]): Promise<Map<string, number>> => {
    const times = new Map(kinds.map((kind): [string, number[]] => [kind, []]))
    for (let i = 0; i < (sizes.repeat + 2) * each; i++)
      for (const kind of kinds) {
        const ms = await create(kind)
        // What came first was compiled, and connected.
        if (i >= 2 * each) times.get(kind)!.push(ms)
      }
    return new Map([...times].map(([kind, all]) => [kind, median(all)]))
  }
  const agent = new Agent({ keepAlive: true, ca })
  afterwards(() => agent.destroy())
  const posts: number[] = []
  for (let i = 0; i < sizes.repeat * each; i++) posts.push(await post(agent, hook.url))
  const floor = median(posts)

  const bare = (await round(['no'])).get('no')!
  await configure('validating', [
    webhook('check', 'judged'),
    ...Array.from({ length: others }, (_, i) => webhook(`other-${i}`, 'no', 'pods')),
  ])
  await configure('mutating', [webhook('change', 'changed')])
  const times = await round(['no', 'judged', 'changed'])
  const more = (kind: string): number => times.get(kind)! - times.get('no')!
  say(
    `create: ${bare.toFixed(2)} ms; beside webhooks for others ${times.get('no')!.toFixed(2)} ms; judged ${times.get('judged')!.toFixed(2)} ms; changed ${times.get('changed')!.toFixed(2)} ms`,
  )
  const row = (name: string, value: number): Row => ({ name, unit: 'ms', value, floor, floorName: 'a POST to the webhook', target: 2 })
  return [
    row('create: more through a validating webhook', more('judged')),
    row('create: more through a mutating webhook', more('changed')),
    {
      name: `create: beside ${others} webhooks for other resources`,
      unit: 'ms',
      value: times.get('no')!,
      floor: bare,
      floorName: 'without webhooks',
    },
  ]
}

const post = (agent: Agent, url: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const start = performance.now()
    const req = request(url, { method: 'POST', agent }, res => {
      res.resume()
      res.once('end', () => resolve(performance.now() - start))
    })
    req.once('error', reject)
    req.end(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', request: { uid: 'x' } }))
  })
