/** cluster-dns: the process. The node's names, answered from a view of its own, so that they resolve while the node-agent is away. */
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { endpointSlices, services } from '#shared/api/kinds.ts'
import { natsTransport } from '#shared/bus/api-client.ts'
import { connectBus } from '#shared/bus/connection.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { newClient } from '#shared/client/rest.ts'
import { parseFlags } from '#shared/component/flags.ts'
import { ready, untilTerminated } from '#shared/component/lifecycle.ts'
import { logger } from '#shared/component/log.ts'
import { clusterDnsPort } from '#shared/network/clusterdns.ts'
import { flags, nodeAgentOptions } from '../options.ts'
import { answer } from './answer.ts'
import { newForwarder } from './forward.ts'
import { serveDns } from './server.ts'
import { viewOf } from './view.ts'

const log = logger('cluster-dns')
const stop = untilTerminated()
process.on('unhandledRejection', error => log.error({ err: error }, 'unhandled rejection'))
// The node-agent's: both are of one node.
const given = parseFlags('cluster-dns', flags)
const identity = `system:node:${given.nodeName}`
try {
  const options = await nodeAgentOptions(given)
  const resolvers = [...(await readFile(options.resolvConf, 'utf8').catch(() => '')).matchAll(/^\s*nameserver\s+(\S+)/gm)].flatMap(([, a]) => (isIP(a!) ? [a!] : [])) // prettier-ignore
  const connection = await connectBus({ url: options.natsUrl, credsFile: options.creds, identity, pingIntervalMs: 2_000, log })
  const client = newClient(natsTransport(connection), { userAgent: 'cluster-dns' })
  const kept = new Map<string, Buffer>()
  const informers = [startInformer(client, services, { log }, stop), startInformer(client, endpointSlices, { log }, stop)] as const
  const view = viewOf(...informers, () => kept.clear())
  await Promise.all(informers.map(i => i.synced))
  const resolver = { view, domain: options.clusterDomain, forwarder: newForwarder(resolvers), kept }
  const failed = (e: Error): void => log.error({ err: e }, 'a query could not be answered')
  await serveDns(options.nodeIp, clusterDnsPort, (query, tcp) => answer(resolver, query, tcp), failed, stop)
  log.info({ address: options.nodeIp, port: clusterDnsPort, resolvers }, 'serving names')
  ready()
  if (!stop.aborted) await new Promise(resolve => stop.addEventListener('abort', resolve, { once: true }))
  await connection.close()
  process.exit(0)
} catch (e) {
  process.stderr.write(`cluster-dns: ${(e as Error).message}\n`)
  process.exit(1)
}
