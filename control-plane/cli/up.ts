/** `cox up`: the supervisor of a local cluster, in the foreground until Ctrl-C, or detached. */
import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, rmSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import path from 'node:path'
import { bundles, nodeArgs, processEnv } from './components.ts'
import { isUnused, newEphemeral, removeEphemeral, sweepEphemeral } from './ephemeral.ts'
import { rotateLogs } from './logs.ts'
import { forgetProcess, forgetRecord, isAlive, readRecord, recordOf, untilGone, writeRecord, supervisorProcess } from './process.ts'
import { addressesOf, makeStateDir, readCluster, requireCluster, writeAtomically, type Cluster, type StateDir } from './state.ts'
import type { Running, RunningEvents } from './running.ts'
import { onRemoved, untilStopped } from './stopping.ts'
import { lastLine } from './supervisor.ts'
import { ensurePrograms, isPrivileged } from './system.ts'
import { withoutCompilers } from './tiering.ts'
import type { Wanted } from './wanted.ts'

const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`

/** What to do next: a line of JSON for a program, else for a person. */
function farewell(dir: StateDir, { securePort, apiOnly, joined }: Cluster, wanted: Wanted): string {
  const kubeconfig = wanted.kubeconfig ?? dir.kubeconfig
  const server = `https://127.0.0.1:${securePort}`
  if (wanted.output === 'json') return JSON.stringify({ server, kubeconfig, stateDir: dir.root })
  return `
${joined ? 'This machine is of the control plane' : 'The cluster is up'}. In another terminal:

  export KUBECONFIG=${kubeconfig}
  kubectl get ${apiOnly ? 'namespaces' : 'nodes -o wide'}
`
}
/** For a program, standard output has nothing but the line of JSON. */
const newSay =
  ({ output }: Wanted) =>
  (line: string): boolean =>
    (output === 'json' ? process.stderr : process.stdout).write(`${line}\n`)

function refuseSecond(dir: StateDir): void {
  const other = readRecord(dir, supervisorProcess)
  if (other?.pid !== process.pid && isAlive(other))
    throw new Error(`the cluster in ${dir.root} is already up (pid ${readRecord(dir, supervisorProcess)?.pid}); \`cox down\` stops it`)
}

/** In the environment of a detached supervisor: the state directory that was made for it. */
const madeFor = 'COXSWAIN_STATE_DIR_MADE'

/**
 * The state directory: that which was named, or, of a cluster that keeps nothing, a new one. One that was named for it must be empty, as it
 * is removed in the end.
 */
function directoryOf(named: StateDir | undefined, fallback: StateDir, { ephemeral }: Wanted): StateDir {
  if (!ephemeral) return named ?? fallback
  if (named && process.env[madeFor] !== named.root && !isUnused(named))
    throw new Error(`${named.root} is not empty: with --ephemeral the state directory is removed in the end`)
  return named ?? newEphemeral()
}

/**
 * The programs that it takes. A machine that was added to a control plane has nothing but processes of ours, and one of three nats-servers.
 */
async function ensureFor(dir: StateDir, { apiOnly, network }: Wanted, say: (line: string) => void): Promise<void> {
  const had = readCluster(dir)
  if (had?.joined) return had.natsServers === undefined ? undefined : ensurePrograms(say, 'host')
  await ensurePrograms(say, apiOnly || network === 'host' || !isPrivileged() ? 'host' : 'all')
}

/** Runs the cluster until something ends it; resolves when everything is stopped. `named` is the state directory that was asked for. */
export async function up(named: StateDir | undefined, fallback: StateDir, wanted: Wanted): Promise<void> {
  const say = newSay(wanted)
  const removed = new AbortController()
  const stop = AbortSignal.any([untilStopped(wanted.exitWithParent), removed.signal])
  const stopped = new Promise<void>(resolve => stop.addEventListener('abort', () => resolve(), { once: true }))
  await ensureFor(named ?? fallback, wanted, say)
  const dir = directoryOf(named, fallback, wanted)
  refuseSecond(dir)
  makeStateDir(dir)
  writeRecord(dir, supervisorProcess, process.pid)
  // A closed terminal must not end the supervisor before it has cleaned up.
  process.stdout.on('error', () => {})
  process.stderr.on('error', () => {})
  /** What happens on the way up is told to whoever waits for a detached supervisor, too. */
  const tell = (line: string): void => {
    say(line)
    if (process.connected) process.send?.({ line })
  }
  /** When what died did so: how long it took to be back counts from then, else from the start of this process. */
  const deaths = new Map<string, number>()
  const events: RunningEvents = {
    ready: name => tell(`  ${name.padEnd(26)} ready    ${seconds(performance.now() - (deaths.get(name) ?? 0))}`),
    died(name, how, ms) {
      deaths.set(name, performance.now())
      tell(`  ${name.padEnd(26)} ${how}${stop.aborted ? '' : `; starting it again in ${seconds(ms)} (cox logs ${name})`}`)
    },
  }
  const stopRotating = rotateLogs(dir.logs)
  const stopWatching = onRemoved(dir, () => {
    say(`${dir.cluster} was removed, and with it the cluster`)
    removed.abort()
  })
  let running: Running | undefined
  try {
    const { start } = await (wanted.apiOnly
      ? import('./apionly.ts')
      : readCluster(dir)?.joined
        ? import('./joinedcontrolplane.ts')
        : import('./wholecluster.ts'))
    running = await start(dir, wanted, { stop, events, tell })
    const cluster = await Promise.race([running.started, stopped])
    if (cluster) {
      if (wanted.kubeconfig !== undefined) writeAtomically(wanted.kubeconfig, readFileSync(dir.kubeconfig, 'utf8'))
      process.stdout.write(`${farewell(dir, cluster, wanted)}\n`)
      if (process.send) process.send('ready', undefined, {}, () => process.disconnect?.())
      flushCompileCache()
      if (wanted.ephemeral) void sweepEphemeral().catch((e: Error) => say(`what killed clusters left could not be removed: ${e.message}`))
    }
    await stopped
  } finally {
    say('stopping...')
    stopRotating()
    stopWatching()
    await running?.stop(removed.signal.aborted)
    if (wanted.ephemeral && !removed.signal.aborted) removeAll(dir, wanted)
    else forgetProcess(dir, supervisorProcess, recordOf(process.pid))
  }
  say(wanted.ephemeral || removed.signal.aborted ? 'stopped' : 'stopped; the objects are kept, `cox up` brings them back')
}

/** Nothing is kept. The kubeconfig elsewhere may be another's by now. */
function removeAll(dir: StateDir, { kubeconfig }: Wanted): void {
  const text = (file: string): string => (existsSync(file) ? readFileSync(file, 'utf8') : '')
  if (kubeconfig !== undefined && text(kubeconfig) === text(dir.kubeconfig)) rmSync(kubeconfig, { force: true })
  rmSync(dir.root, { recursive: true, force: true })
}

/** How long `--detach` waits for the cluster, ms. */
const DETACHED_MS = 120_000

/** Options as the command line has them. */
function commandLine(wanted: Wanted): string[] {
  const { instances = {}, ...others } = wanted
  const flag = (name: string): string => `--${name.replace(/[A-Z]/g, c => `-${c.toLowerCase()}`)}`
  return [
    ...Object.entries(others).flatMap(([name, value]) =>
      value === undefined || value === false ? [] : value === true ? [flag(name)] : [flag(name), String(value)],
    ),
    ...Object.entries(instances).flatMap(([component, n]) => [`--${component.replace('kube-', '')}s`, String(n)]),
  ]
}

/** Starts the supervisor in the background and resolves when the cluster is up; tells what happens on the way. */
export async function upDetached(named: StateDir | undefined, fallback: StateDir, wanted: Wanted): Promise<void> {
  if (wanted.exitWithParent) throw new Error('--detach and --exit-with-parent contradict each other')
  const say = newSay(wanted)
  await ensureFor(named ?? fallback, wanted, say)
  const dir = directoryOf(named, fallback, wanted)
  refuseSecond(dir)
  makeStateDir(dir)
  const file = path.join(dir.logs, 'cox.log')
  const log = openSync(file, 'a', 0o600)
  const args = [
    ...nodeArgs(),
    ...(wanted.apiOnly ? withoutCompilers : []),
    path.join(bundles, 'cox.js'),
    'up',
    ...commandLine({ ...wanted, output: undefined }),
    '--state-dir',
    dir.root,
  ]
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', log, log, 'ipc'],
    detached: true,
    env: { ...process.env, ...processEnv, [madeFor]: dir.root },
  })
  closeSync(log)
  let deadline: NodeJS.Timeout | undefined
  try {
    await new Promise<void>((resolve, reject) => {
      const late = (): void =>
        reject(
          new Error(`the cluster is not up after ${DETACHED_MS / 1000} s; it goes on in the background: \`cox logs NAME\`, \`cox down\``),
        )
      deadline = setTimeout(late, DETACHED_MS)
      child.on('message', (message: 'ready' | { line: string }) => (message === 'ready' ? resolve() : say(message.line)))
      child.once('error', reject)
      child.once('exit', code =>
        reject(
          new Error(lastLine(file).startsWith('cox: ') ? lastLine(file).slice(5) : `the supervisor exited with code ${code}; see ${file}`),
        ),
      )
    })
  } finally {
    clearTimeout(deadline)
    if (child.connected) child.disconnect()
    child.unref()
  }
  process.stdout.write(`${farewell(dir, requireCluster(dir), wanted)}\n`)
}

/** Ends the supervisor and with it the cluster; does its work when it is not there any more. */
export async function down(dir: StateDir): Promise<void> {
  if (existsSync(path.join(dir.root, 'joined.json'))) {
    const { readJoined, stopMachine } = await import('./machine-node.ts')
    await stopMachine(dir, readJoined(dir)!)
    if (!readCluster(dir)) return
  }
  const cluster = requireCluster(dir)
  const supervisor = readRecord(dir, supervisorProcess)
  if (isAlive(supervisor)) {
    process.kill(supervisor.pid, 'SIGTERM')
    if (!(await untilGone(supervisor, 30_000)))
      throw new Error(`the supervisor (pid ${supervisor.pid}) does not end; kill it and try again`)
  }
  // What a killed supervisor left, or nothing.
  if (cluster.ephemeral) return removeEphemeral(dir)
  const { stopControlPlane, stopEverything } = await import('./local-cluster.ts')
  await (cluster.joined ? stopControlPlane(dir) : stopEverything(dir, addressesOf(cluster)))
  forgetRecord(dir, supervisorProcess)
}
