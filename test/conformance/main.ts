/** `npm run conformance`: upstream's own conformance suite against a cluster. */
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { execa } from 'execa'
import { standInternet } from './internet.ts'
import { writeCatalogue } from './images.ts'
import { writeArchive } from './realimages.ts'
import { report } from './report.ts'
import { runSpec, type Outcome } from './spec.ts'

const here = import.meta.dirname
const cox = path.resolve(here, '../../control-plane/cli/cox.sh')
const say = (line: string): boolean => process.stderr.write(`${line}\n`)

const count = (text: string): number => {
  const n = Number(text)
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError('It must be a whole number from 1.')
  return n
}
const pattern = (text: string): RegExp => {
  try {
    return new RegExp(text)
  } catch (e) {
    throw new InvalidArgumentError((e as Error).message)
  }
}

const options = new Command('conformance')
  .description("runs specs of Kubernetes' own e2e.test, those of conformance unless told, against a cluster that it starts")
  .requiredOption('--build <dir>', 'where the suite and its images are, or are built first (10 GB, 5 to 15 minutes)')
  .option('--all', 'also specs beyond conformance that ask for nothing special: no [Feature:...], [Slow], [Disruptive], [Flaky]')
  .option('--special', 'with --only: those that do ask for something special, too')
  .option('--only <regex>', 'specs whose names match', pattern)
  .option('--parallel <n>', 'specs at a time; those that are [Serial] run alone, last', count, 4)
  .option('--nodes <n>', 'nodes of the cluster', count, 3)
  .option(
    '--real-images',
    "the suite's images with files of their own, loaded as a user loads his, not programs of the machine by their names",
  )
  .option('--limit <seconds>', 'how long one spec may take', count, 480)
  .option('--logs <dir>', 'where the log of each spec goes (default: a new folder)')
  .option('--apply <path>', 'manifests that the specs want in their cluster, a file or a folder')
  .option('--kubeconfig <file>', 'use the cluster of this file instead; it must know the images')
  .option('--json', 'print every result as JSON')
  .parse()
  .opts<{
    build: string
    all?: boolean
    special?: boolean
    realImages?: boolean
    only?: RegExp
    parallel: number
    nodes: number
    limit: number
    logs?: string
    apply?: string
    kubeconfig?: string
    json?: boolean
  }>()

/** What a cluster must be made for, takes very long, breaks the cluster, or passes only sometimes. */
/** All clusters have network policies; the one spec that wants SCTP beside them does not send any. */
const special = /\[((?<!NetworkPolicy\] \[)Feature:(?!NetworkPolicy\])|Slow\]|Disruptive\]|Flaky\]|Alpha\])/

/** It gives all that is in the node's /tmp, which is the machine's own here, to a group. */
const harmful = 'Pods sharing a single local PV [Serial] all pods should be running'

const build = path.resolve(options.build)
if (!existsSync(path.join(build, 'all.txt'))) {
  say(`building the suite in ${build}`)
  await execa('bash', [path.join(here, 'build.sh'), build], { stdout: 2, stderr: 2, stdin: 'ignore', timeout: 3_600_000 })
}
const specs = readFileSync(path.join(build, options.all || options.special ? 'all.txt' : 'conformance.txt'), 'utf8')
  .split('\n')
  .filter(name => name !== '' && !name.endsWith(harmful) && (options.special || name.includes('[Conformance]') || !special.test(name)))
const wanted = specs.filter(name => options.only?.test(name) ?? true)
const logs = options.logs ? path.resolve(options.logs) : await mkdtemp(path.join(tmpdir(), 'cox-conformance-'))
await mkdir(logs, { recursive: true })

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort())

/** Runs what is in `names`, so many at a time, in order. */
async function runAll(names: readonly string[], parallel: number, kubeconfig: string, done: (o: Outcome) => void): Promise<void> {
  const left = names.values()
  const where = { build, kubeconfig, nodes: options.nodes, logs, limitSeconds: options.limit, env: internet.env }
  const worker = async (): Promise<void> => {
    for (const name of left) {
      if (stop.signal.aborted) return
      done(await runSpec(name, `${String(specs.indexOf(name)).padStart(3, '0')}.log`, where, stop.signal))
    }
  }
  await Promise.all(Array.from({ length: parallel }, worker))
}

const state = options.kubeconfig ? undefined : await mkdtemp(path.join(tmpdir(), 'cox-conformance-state-'))
const run = (...args: string[]) => execa(cox, [...args, '--state-dir', state!], { timeout: 180_000, stdin: 'ignore', stdout: 2, stderr: 2 })
const kubectl = (kubeconfig: string, ...args: string[]) =>
  execa(path.join(build, 'bin/kubectl'), ['--kubeconfig', kubeconfig, ...args], { timeout: 60_000, stdin: 'ignore', stdout: 2, stderr: 2 })
const outcomes: Outcome[] = []
const internet = await standInternet()
try {
  if (state) {
    const images = options.realImages ? [] : ['--image-catalogue', await writeCatalogue(build)]
    await run('up', '--detach', '--nodes', String(options.nodes), ...images)
    if (options.realImages) await run('image', 'load', await writeArchive(build))
  }
  const kubeconfig = options.kubeconfig ? path.resolve(options.kubeconfig) : path.join(state!, 'kubeconfig')
  if (options.apply) await kubectl(kubeconfig, 'apply', '--recursive', '--filename', options.apply)
  say(`${wanted.length} of ${specs.length} specs; logs in ${logs}`)
  const done = (o: Outcome): void => {
    outcomes.push(o)
    say(`${String(outcomes.length).padStart(3)} ${o.result.padEnd(9)} ${o.seconds.toFixed(1).padStart(6)} s  ${o.name}`)
  }
  const serial = (name: string): boolean => name.includes('[Serial]')
  await runAll(wanted.filter(name => !serial(name)), options.parallel, kubeconfig, done) // prettier-ignore
  await runAll(wanted.filter(serial), 1, kubeconfig, done)
} finally {
  internet.close()
  if (state) {
    await run('down')
    await rm(state, { recursive: true, force: true })
  }
}
process.stdout.write(options.json ? `${JSON.stringify(outcomes, null, 2)}\n` : `${report(outcomes)}\n`)
process.exitCode = outcomes.length === wanted.length && outcomes.every(o => o.result === 'passed') ? 0 : 1
