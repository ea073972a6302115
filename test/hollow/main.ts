/** `node test/hollow/main.ts --nodes 1000`: hollow nodes for a cluster that runs. Ends with SIGTERM or SIGINT; the Nodes stay. */
// First: the libraries that sign ask for it when they are loaded.
import './native-keys.mjs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import path from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { authorityFile } from '#control-plane/cli/files.ts'
import { natsUrl } from '#control-plane/cli/components.ts'
import { addressesOf, requireCluster, stateDir } from '#control-plane/cli/state.ts'
import { mintCreds, type Authority } from '#shared/bus/credentials.ts'
import { logger } from '#shared/component/log.ts'
import { hollowName, startHollowNode } from './node.ts'

const count = (text: string): number => {
  const n = Number(text)
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError('It must be a whole number from 1.')
  return n
}
const options = new Command('hollow')
  .description('nodes that speak the protocol of a kubelet and run nothing')
  .option('--nodes <n>', 'how many', count, 1000)
  .option('--first <n>', 'the number of the first of them', count, 1)
  .option('--state-dir <dir>', 'the cluster of `cox up`', process.env['COXSWAIN_STATE_DIR'] ?? '.coxswain')
  .option('--nats-url <url>', 'the NATS server, when the cluster is not of `cox up`')
  .option('--authority <file>', 'the signing keys of the cluster as JSON, likewise')
  .option('--max-pods <n>', 'of each node', count, 110)
  .option('--lease-seconds <n>', 'the duration of a node lease, of which a quarter lies between its renewals', count, 40)
  .option('--status-seconds <n>', 'the time between two reports of a node that has nothing new to say', count, 300)
  .parse()
  .opts<{
    nodes: number
    first: number
    stateDir: string
    natsUrl?: string
    authority?: string
    maxPods: number
    leaseSeconds: number
    statusSeconds: number
  }>()

const log = logger('hollow')
const dir = stateDir(options.stateDir)
const url = options.natsUrl ?? natsUrl(addressesOf(requireCluster(dir)))
const authority = JSON.parse(await readFile(options.authority ?? authorityFile(dir), 'utf8')) as Authority
const creds = await mkdtemp(path.join(options.authority ? path.dirname(options.authority) : tmpdir(), 'cox-hollow-'))
const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort())

const stopped: Promise<void>[] = []
const numbers = Array.from({ length: options.nodes }, (_, i) => options.first + i).values()
async function startSome(): Promise<void> {
  for (const number of numbers) {
    if (stop.signal.aborted) return
    const credsFile = path.join(creds, `${number}.creds`)
    await writeFile(credsFile, await mintCreds(authority, `system:node:${hollowName(number)}`), { mode: 0o600 })
    const { maxPods, leaseSeconds } = options
    const node = await startHollowNode(
      { number, natsUrl: url, credsFile, maxPods, leaseSeconds, statusMs: options.statusSeconds * 1000, log },
      stop.signal,
    )
    stopped.push(node.stopped)
  }
}
try {
  await Promise.all(Array.from({ length: 8 * availableParallelism() }, startSome))
  process.stdout.write(`${options.nodes} hollow nodes are registered\n`)
  await Promise.all(stopped)
} catch (e) {
  if (!stop.signal.aborted) throw e
} finally {
  await rm(creds, { recursive: true, force: true })
}
process.exit(0)
