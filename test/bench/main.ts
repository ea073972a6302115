/** `npm run bench`: measures a cluster on this machine and prints each figure beside its floor. */
import { cpus } from 'node:os'
import path from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { measureAgainst } from './against.ts'
import { newBench } from './bench.ts'
import { benchCluster } from './cluster.ts'
import type { LocalMeasurement, Measurement, Row, Sizes } from './measurement.ts'
import { measureApiOnly } from './apionly.ts'
import { measureAuthorization } from './authorization.ts'
import { measureBus } from './bus.ts'
import { measureClaims } from './claims.ts'
import { measureCompaction } from './compaction.ts'
import { measureCrd } from './crd.ts'
import { measureDisks } from './disks.ts'
import { measureDns } from './dns.ts'
import { measureFairness } from './fairness.ts'
import { measureCel } from './cel.ts'
import { measureDensity } from './density.ts'
import { measureDeployment } from './deployment.ts'
import { measureHttps } from './https.ts'
import { measureIngress } from './ingress.ts'
import { measureMachines } from './machines.ts'
import { measureMemory } from './memory.ts'
import { measurePodStart } from './pod-start.ts'
import { measurePolicies } from './policies.ts'
import { measureProxy } from './proxy.ts'
import { measurePull } from './pull.ts'
import { measureReach } from './reach.ts'
import { measureReaction } from './reaction.ts'
import { measureRecovery } from './recovery.ts'
import { report } from './report.ts'
import { measureScale } from './scale.ts'
import { measureScheduler } from './scheduler.ts'
import { measureService } from './service.ts'
import { measureStartup } from './startup.ts'
import { measureWatch } from './watch.ts'
import { measureWatchList } from './watchlist.ts'
import { measureWebhook } from './webhook.ts'
import { measureWorkQueue } from './workqueue.ts'

/** In the order in which they run: memory is measured before anything else has grown it, and after the last one nothing is as it was. */
const measurements: Record<string, Measurement> = {
  startup: measureStartup,
  memory: measureMemory,
  'pod-start': measurePodStart,
  deployment: measureDeployment,
  service: measureService,
  reaction: measureReaction,
  density: measureDensity,
  reach: measureReach,
  claims: measureClaims,
  disks: measureDisks,
  watch: measureWatch,
  https: measureHttps,
  bus: measureBus,
  crd: measureCrd,
  webhook: measureWebhook,
  recovery: measureRecovery,
}
const local: Record<string, LocalMeasurement> = {
  apionly: measureApiOnly,
  workqueue: measureWorkQueue,
  scheduler: measureScheduler,
  watchlist: measureWatchList,
  scale: measureScale,
  compaction: measureCompaction,
  fairness: measureFairness,
  authorization: measureAuthorization,
  policies: measurePolicies,
  cel: measureCel,
  pull: measurePull,
  proxy: measureProxy,
  dns: measureDns,
  ingress: measureIngress,
  machines: measureMachines,
}
const known = [...Object.keys(local), ...Object.keys(measurements)]
/** What is not done to a cluster that somebody uses. */
const onlyOurs = ['startup', 'recovery']

const count = (text: string): number => {
  const n = Number(text)
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError('It must be a whole number from 1.')
  return n
}
const only = (name: string, names: string[] = []): string[] => {
  if (!known.includes(name)) throw new InvalidArgumentError(`There are: ${known.join(', ')}.`)
  return [...names, name]
}

const program = new Command('bench')
  .description('measures a cluster on this machine, beside the floors of the machine')
  .option('--json', 'print rows as JSON')
  .option('--only <name>', `measure this alone; repeatable: ${known.join(', ')}`, only)
  .option('--state-dir <dir>', 'measure the cluster that runs there instead of a new one')
  .option('--nodes <n>', 'nodes of the new cluster', count, 3)
  .option('--seconds <n>', 'seconds of each load', count, 5)
  .option('--repeat <n>', 'how often what is done one at a time is done', count, 20)
  .option('--replicas <n>', 'replicas of the Deployment', count, 20)
  .option('--listed <n>', 'pods in the list', count, 500)
  .option('--stored <n>', 'pods stored while memory is measured', count, 5000)
  .option('--definitions <n>', 'CRDs while their cost is measured, then twice as many', count, 500)
  .option('--watchers <n>', 'watchers of the larger round', count, 200)
  .option('--against <dir>', 'compare with the Kubernetes that `npm run conformance -- --build DIR` built there, and measure nothing else')
  .option('--cut <n>', 'seconds for which a link is cut', count, 20)
  .parse()
const options = program.opts<Sizes & { json?: boolean; only?: string[]; stateDir?: string; nodes: number; against?: string }>()

const say = (line: string): boolean => process.stderr.write(`${line}\n`)
const cluster = await benchCluster(options.stateDir, options.nodes)
const stopped = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stopped.abort(new Error(`stopped by ${signal}`)))
const untilStopped = new Promise<never>((_, reject) => stopped.signal.addEventListener('abort', () => reject(stopped.signal.reason)))
untilStopped.catch(() => {})

const rows: Row[] = []
const asked = (name: string): boolean => options.only?.includes(name) ?? options.against === undefined
try {
  for (const [name, measure] of Object.entries(local).filter(([name]) => asked(name))) {
    say(name)
    rows.push(...(await measure()))
  }
  const clustered = options.against !== undefined || Object.keys(measurements).some(asked)
  if (cluster.ours && clustered) {
    say(`starting a cluster in ${cluster.dir.root}`)
    await Promise.race([cluster.up(), untilStopped])
  }
  const chosen = Object.entries(measurements).filter(([name]) => asked(name) && (options.only || cluster.ours || !onlyOurs.includes(name)))
  if (options.against !== undefined) chosen.push(['against', measureAgainst(path.resolve(options.against))])
  for (const [name, measure] of chosen) {
    const bench = newBench(cluster, options, line => void say(`  ${line}`))
    say(name)
    try {
      rows.push(...(await Promise.race([measure(bench), untilStopped])))
    } catch (e) {
      if (stopped.signal.aborted) throw e
      say(`  ${name} failed: ${e instanceof Error ? e.message : String(e)}`)
      process.exitCode = 1
    } finally {
      await bench.end()
    }
  }
} catch (e) {
  say(`bench: ${e instanceof Error ? e.message : String(e)}`)
  process.exitCode = 1
} finally {
  await cluster.dispose()
}
if (options.json) process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`)
else
  process.stdout.write(
    `\n${cpus().length} cores, ${cpus()[0]?.model ?? 'unknown'}; OF FLOOR: 100% is as good as the floor\n\n${report(rows)}\n`,
  )
