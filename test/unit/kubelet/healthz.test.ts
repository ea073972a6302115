import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import type { Node } from '#shared/api/core/node.ts'
import { logger } from '#shared/component/log.ts'
import { newProxyStatus } from '#node-agent/proxy/status.ts'
import { kubeletAnswers, proxyAnswers, serveAnswers, type Answers } from '#node-agent/healthz.ts'

const log = logger('test')
async function served(answers: Answers, work: (get: (path: string) => Promise<[number, string]>) => Promise<void>): Promise<void> {
  const stop = new AbortController()
  const server = serveAnswers('127.0.0.1', 0, answers, log, stop.signal)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await work(async path => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    return [response.status, await response.text()]
  }).finally(() => stop.abort())
}

test('kubelet', () =>
  served(kubeletAnswers, async get => {
    expect(await get('/healthz')).toEqual([200, 'ok'])
    expect(await get('/constructor')).toEqual([404, '404 page not found\n'])
  }))

test('kube-proxy', async () => {
  const node = { metadata: { name: 'n' }, spec: {} } as Node
  const { health, metrics } = proxyAnswers('nftables', () => node, newProxyStatus(), { mode: 'nftables' })
  await served(metrics, async get => {
    expect(await get('/proxyMode')).toEqual([200, 'nftables'])
    expect(await get('/configz')).toEqual([200, '{"kubeproxy.config.k8s.io":{"mode":"nftables"}}'])
  })
  await served(health, async get => {
    expect((await get('/healthz'))[0]).toBe(200)
    node.metadata.deletionTimestamp = '2026-01-01T00:00:00Z'
    expect((await get('/livez'))[0]).toBe(200)
    const [status, body] = await get('/healthz')
    expect([status, (JSON.parse(body) as { nodeEligible: boolean }).nodeEligible]).toEqual([503, false])
  })
  await served(metrics, async get => {
    const [, text] = await get('/metrics')
    expect(text).toContain('kubeproxy_proxy_healthz_total{code="503"} 1')
    expect(text).toContain('kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"} 0')
  })
})

test('a port that is taken ends nothing', async () => {
  const stop = new AbortController()
  const first = serveAnswers('127.0.0.1', 0, kubeletAnswers, log, stop.signal)
  await once(first, 'listening')
  const second = serveAnswers('127.0.0.1', (first.address() as AddressInfo).port, kubeletAnswers, log, stop.signal)
  await new Promise(resolve => second.once('error', resolve))
  stop.abort()
})
