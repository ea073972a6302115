/** `cox up`: the supervisor of a local cluster, in the foreground until Ctrl-C, or detached. */
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import path from 'node:path'
import { untilNodesReady, untilPodsAdmitted } from './api.ts'
import { bundles, nodeArgs, processEnv } from './components.ts'
import { ensureCreds, ensureEncryption, writeFiles } from './files.ts'
import { LocalCluster, prepareCluster, stopEverything, type Wanted } from './local-cluster.ts'
import { rotateLogs } from './logs.ts'
import { nodeIdentity, nodeProcess } from './node.ts'
import { forgetRecord, isAlive, readRecord, untilGone, writeRecord, supervisorProcess } from './process.ts'
import { addressesOf, makeStateDir, requireCluster, type Addresses, type StateDir } from './state.ts'
import { lastLine } from './supervisor.ts'
import { ensurePrograms, isPrivileged } from './system.ts'

const say = (line: string): boolean => process.stdout.write(`${line}\n`)
const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`

/** What to do next, for a person. */
const farewell = (dir: StateDir): string => `
The cluster is up. In another terminal:

  export KUBECONFIG=${dir.kubeconfig}
  kubectl get nodes -o wide
`

/** What is different without root, in a line or two. */
const onHostNotice = ({ host, services }: Addresses): string =>
  `${isPrivileged() ? 'on the host network' : 'not root'}: one node, whose pods are plain processes with the machine's address ${host}; Services are at ${services} (README: Without root)` +
  (host.startsWith('127.') ? '\nthe machine has no address but loopback: Services will have no endpoints' : '')

function refuseSecond(dir: StateDir): void {
  const other = readRecord(dir, supervisorProcess)
  if (other?.pid !== process.pid && isAlive(other))
    throw new Error(`the cluster in ${dir.root} is already up (pid ${readRecord(dir, supervisorProcess)?.pid}); \`cox down\` stops it`)
}

/** Runs the cluster until a signal comes; resolves when everything is stopped. */
export async function up(dir: StateDir, wanted: Wanted): Promise<void> {
  const since = Date.now()
  const began = performance.now()
  refuseSecond(dir)
  await ensurePrograms(say, wanted.network === 'host' || !isPrivileged())
  makeStateDir(dir)
  writeRecord(dir, supervisorProcess, process.pid)
  const stop = new AbortController()
  const stopped = new Promise<void>(resolve => stop.signal.addEventListener('abort', () => resolve(), { once: true }))
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => (stop.signal.aborted ? undefined : stop.abort()))
  // A closed terminal must not end the supervisor before it has cleaned up.
  process.stdout.on('error', () => {})
  process.stderr.on('error', () => {})

  const stopRotating = rotateLogs(dir.logs)
  const cluster = await prepareCluster(dir, wanted)
  const at = addressesOf(cluster)
  if (wanted.encryptSecrets) ensureEncryption(dir)
  // A node that outlived its last supervisor has said that it is Ready before.
  const lives = new Map(cluster.nodes.map(n => [n.name, isAlive(readRecord(dir, nodeProcess(n.name))) ? 0 : since]))
  await writeFiles(dir, {
    at,
    listen: at.nats.host,
    storeDir: path.join(dir.nats, 'store'),
    sync: 'reader',
    serverIPs: ['127.0.0.1', at.host],
    securePort: cluster.securePort,
  })
  await ensureCreds(
    dir,
    cluster.nodes.map(n => nodeIdentity(n.name)),
  )
  /** What happens on the way up is told to whoever waits for a detached supervisor, too. */
  const tell = (line: string): void => {
    say(line)
    if (process.connected) process.send?.({ line })
  }
  /** When what died did so: how long it took to be back counts from then. */
  const deaths = new Map<string, number>()
  const shown = (name: string): void =>
    void tell(`  ${name.padEnd(26)} ready    ${seconds(performance.now() - (deaths.get(name) ?? began))}`)
  const local = new LocalCluster(dir, cluster, {
    ready: name => shown(name),
    died: (name, how, ms) => {
      deaths.set(name, performance.now())
      tell(`  ${name.padEnd(26)} ${how}${stop.signal.aborted ? '' : `; starting it again in ${seconds(ms)} (cox logs ${name})`}`)
    },
    nodeStarted: () => {},
    nodeDied: name => void tell(`  ${name.padEnd(26)} died; \`cox node start ${name}\` starts it again`),
  })
  if (at.onHost) tell(onHostNotice(at))
  tell(`starting ${cluster.nodes.length} node${cluster.nodes.length === 1 ? '' : 's'} and the control plane, state in ${dir.root}`)
  try {
    const started = Promise.all([local.start(), untilNodesReady(dir, lives, stop.signal, shown), untilPodsAdmitted(dir, stop.signal)])
    await Promise.race([started, stopped])
    if (!stop.signal.aborted) {
      say(farewell(dir))
      if (process.send) process.send('ready', undefined, {}, () => process.disconnect?.())
    }
    await stopped
  } finally {
    say('stopping...')
    stopRotating()
    await local.stop()
    forgetRecord(dir, supervisorProcess)
  }
  say('stopped; the objects are kept, `cox up` brings them back')
}

/** How long `--detach` waits for the cluster, ms. */
const DETACHED_MS = 120_000

/** Starts the supervisor in the background and resolves when the cluster is up; tells what happens on the way. */
export async function upDetached(dir: StateDir, wanted: Wanted): Promise<void> {
  refuseSecond(dir)
  await ensurePrograms(say, wanted.network === 'host' || !isPrivileged())
  makeStateDir(dir)
  const file = path.join(dir.logs, 'cox.log')
  const log = openSync(file, 'a', 0o600)
  const { nodes, instances = {}, network, runtime, proxy, imageCatalogue, auditPolicy, encryptSecrets } = wanted
  const named = {
    nodes,
    network,
    runtime,
    proxy,
    'image-catalogue': imageCatalogue,
    'audit-policy': auditPolicy,
    'enable-admission-plugins': wanted.enableAdmissionPlugins,
    'disable-admission-plugins': wanted.disableAdmissionPlugins,
  }
  const told = Object.entries(named).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, String(value)]))
  const counts = Object.entries(instances).flatMap(([component, n]) => [`--${component.replace('kube-', '')}s`, String(n)])
  const encrypt = encryptSecrets ? ['--encrypt-secrets'] : []
  const child = spawn(
    process.execPath,
    [...nodeArgs(), path.join(bundles, 'cox.js'), 'up', ...told, ...counts, ...encrypt, '--state-dir', dir.root],
    {
      stdio: ['ignore', log, log, 'ipc'],
      detached: true,
      env: { ...process.env, ...processEnv },
    },
  )
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
  say(farewell(dir))
}

/** Ends the supervisor and with it the cluster; does its work when it is not there any more. */
export async function down(dir: StateDir): Promise<void> {
  const cluster = requireCluster(dir)
  const supervisor = readRecord(dir, supervisorProcess)
  if (isAlive(supervisor)) {
    process.kill(supervisor.pid, 'SIGTERM')
    if (!(await untilGone(supervisor, 30_000)))
      throw new Error(`the supervisor (pid ${supervisor.pid}) does not end; kill it and try again`)
  }
  // What a killed supervisor left, or nothing.
  await stopEverything(dir, addressesOf(cluster))
  forgetRecord(dir, supervisorProcess)
}
