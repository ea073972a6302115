/** cluster-dns: the process. The node's names, answered from a view of its own, so that they resolve while the node-agent is away. */
import { readFile } from 'node:fs/promises'
import { BlockList, isIP, isIPv6 } from 'node:net'
import { configMaps, endpointSlices, services } from '#shared/api/kinds.ts'
import { natsTransport } from '#shared/bus/api-client.ts'
import { connectBus } from '#shared/bus/connection.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { newClient } from '#shared/client/rest.ts'
import { parseFlags } from '#shared/component/flags.ts'
import { ready, untilTerminated } from '#shared/component/lifecycle.ts'
import { logger } from '#shared/component/log.ts'
import { clusterDnsNamespace, clusterDnsPort } from '#shared/network/clusterdns.ts'
import { corefileKey, corefileName, defaultCorefile, parseCorefile, type Upstream } from '#shared/network/corefile.ts'
import { knownServers } from '../natsservers.ts'
import { flags, nodeAgentOptions } from '../options.ts'
import { answer } from './answer.ts'
import { newRouter } from './router.ts'
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
  const connection = await connectBus({
    url: options.natsCaFile === undefined ? options.natsUrl : knownServers(options.natsUrl, options.rootDir),
    credsFile: options.creds,
    caFile: options.natsCaFile,
    identity,
    pingIntervalMs: 2_000,
    log,
  })
  const client = newClient(natsTransport(connection), { userAgent: 'cluster-dns' })
  const kept = new Map<string, Buffer>()
  const informers = [startInformer(client, services, { log }, stop), startInformer(client, endpointSlices, { log }, stop)] as const
  const view = viewOf(...informers, () => kept.clear())
  const corefiles = startInformer(client, configMaps, { namespace: clusterDnsNamespace, name: corefileName, log }, stop)
  const ranges = new BlockList()
  const { ipv6 } = options
  for (const range of [options.clusterCidr, options.serviceClusterIpRange, ...(ipv6 ? [ipv6.clusterCIDR, ipv6.serviceCIDR] : [])]) {
    const [net = '', prefix] = range.split('/')
    ranges.addSubnet(net, Number(prefix), isIPv6(net) ? 'ipv6' : 'ipv4')
  }
  const initial = parseCorefile(defaultCorefile(options.clusterDomain))
  const resolver = {
    view,
    domain: options.clusterDomain,
    corefile: initial,
    ranges,
    forwarder: newRouter(initial, await machineResolvers(options.resolvConf)),
    kept,
  }
  let current = ''
  async function follow(): Promise<void> {
    const files = corefiles.get(clusterDnsNamespace, corefileName)?.data ?? {}
    const text = JSON.stringify(files)
    if (text === current) return
    current = text
    try {
      const corefile = parseCorefile(files[corefileKey] ?? defaultCorefile(options.clusterDomain), files)
      const system = await machineResolvers(options.resolvConf)
      if (text !== current) return
      const former = resolver.forwarder
      resolver.corefile = corefile
      resolver.forwarder = newRouter(corefile, system)
      kept.clear()
      // What it was asked is answered first.
      setTimeout(() => former.close(), 10_000).unref()
      log.info(
        { blocks: corefile.blocks.length, ignored: corefile.ignored, resolvers: system.map(r => r.address) },
        'the Corefile is in force',
      )
    } catch (e) {
      log.error({ err: (e as Error).message }, 'the Corefile cannot be read: what was before stays in force')
    }
  }
  corefiles.subscribe(() => void follow())
  await Promise.all(informers.map(i => i.synced))
  const failed = (e: Error): void => log.error({ err: e }, 'a query could not be answered')
  await serveDns(options.nodeIp, clusterDnsPort, (query, tcp) => answer(resolver, query, tcp), failed, stop)
  log.info({ address: options.nodeIp, port: clusterDnsPort }, 'serving names')
  ready()
  if (!stop.aborted) await new Promise(resolve => stop.addEventListener('abort', resolve, { once: true }))
  await connection.close()
  process.exit(0)
} catch (e) {
  process.stderr.write(`cluster-dns: ${(e as Error).message}\n`)
  process.exit(1)
}

/** Those of a resolv.conf, in its order; none when it cannot be read. */
async function machineResolvers(file: string): Promise<Upstream[]> {
  const text = await readFile(file, 'utf8').catch(() => '')
  return [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].flatMap(([, address]) => (isIP(address!) ? [{ address: address!, port: 53 }] : []))
}
