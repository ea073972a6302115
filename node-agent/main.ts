/** node-agent: the process. Kubelet, kube-proxy and the node's routes; containers are not its children and outlive it. */
import { connectBus } from '#shared/bus/connection.ts'
import { parseFlags } from '#shared/component/flags.ts'
import { ready, untilTerminated } from '#shared/component/lifecycle.ts'
import { logger } from '#shared/component/log.ts'
import { assignedPodCIDR } from './kubelet/node/podcidr.ts'
import { knownServers, noteServers } from './natsservers.ts'
import { startNode } from './node.ts'
import { flags, nodeAgentOptions } from './options.ts'

/**
 * A node's link fails more often than others. On one that comes back, TCP may wait as long again before it tries, for its pauses double; to
 * connect takes a second at most. So a connection is given up when the server was silent for 4 to 6 s.
 */
const pingIntervalMs = 2_000

const log = logger('node-agent')
const stop = untilTerminated()
process.on('unhandledRejection', error => log.error({ err: error }, 'unhandled rejection'))
const given = parseFlags('node-agent', flags)
try {
  const options = await nodeAgentOptions(given)
  /** Of nodes of other machines. */
  const elsewhere = options.natsCaFile !== undefined
  const connecting = connectBus({
    url: elsewhere ? knownServers(options.natsUrl, options.rootDir) : options.natsUrl,
    credsFile: options.creds,
    caFile: options.natsCaFile,
    identity: `system:node:${options.nodeName}`,
    pingIntervalMs,
    log,
  })
  if (elsewhere) void connecting.then(bus => noteServers(bus, options.rootDir, log)).catch(() => {})
  const podCidr = options.podCidr ?? (await assignedPodCIDR(options, connecting, stop))
  const node = await startNode({ ...options, podCidr }, connecting, log, stop)
  // node-init says with this that the machine goes down, and with TERM that another node-agent comes.
  process.once('SIGPWR', () => void node.shutDown().finally(() => process.kill(process.pid, 'SIGTERM')))
  ready()
  if (!stop.aborted) await new Promise(resolve => stop.addEventListener('abort', resolve, { once: true }))
  await (await connecting).close()
  process.exit(0)
} catch (e) {
  process.stderr.write(`node-agent: ${(e as Error).message}\n`)
  process.exit(1)
}
