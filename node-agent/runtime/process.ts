/**
 * The `process` runtime: containers are plain processes in the node's own file system, each under a shim of its own (see process/shim.ts).
 * It needs no privileges. The working directory is the container's root, a directory; what cannot be had without privileges is told by
 * `unsupported`.
 */
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, realpath, symlink } from 'node:fs/promises'
import { constants } from 'node:os'
import { dirname, join, posix } from 'node:path'
import { killMarked, processUsage, processesMarked } from '#shared/component/processes.ts'
import { cgroupProcesses, killCgroup, removeCgroup } from '#shared/linux/cgroup.ts'
import { removeTree } from '#shared/linux/removetree.ts'
import { run } from '#shared/linux/run.ts'
import { openCatalogue } from './images/catalogue.ts'
import { hostImages } from './images/hostimages.ts'
import { mappedFile } from './images/mapped.ts'
import { inCgroup, makeCgroup } from './process/cgroup.ts'
import { findProgram, imageCommand, processEnvironment } from './process/command.ts'
import { execInRoot } from './process/exec.ts'
import { readEntry, readStatus, runs, shimPid, writeEntry, type Launch, type Started } from './process/record.ts'
import { makeRoot } from './process/root.ts'
import { openShims } from './process/shims.ts'
import { fileEvent, fileOf } from './fileevent.ts'
import { openPipes } from './pipes.ts'
import { writeToShim } from './process/stdin.ts'
import { unsupportedFields } from './process/unsupported.ts'
import { startFailure, type ContainerRuntime, type ContainerSpec, type ContainerStatus, type ContainerUser } from './runtime.ts'
import { signalNumber } from './signals.ts'

export interface ProcessRuntimeOptions {
  /** The node's state directory; images' own files are laid out in `images/` below it. */
  rootDir: string
  /** As root on Linux the control groups of containers are below it, absolute below the cgroup root. */
  cgroupRoot?: string
  /** A catalogue of the user's, in YAML, over the built-in one. */
  catalogueFile?: string
  /** Where the machine keeps images, of which only what is mapped to programs is of use here. */
  imageStore?: string
}

const START_TIMEOUT_MS = 30_000
/** How often a container is looked at whose shim may have been killed, which makes no event, ms. */
const SHIM_CHECK_MS = 5_000
/** The same while it is starting. */
const SHIM_START_CHECK_MS = 200

/** Every process of a container has this in its environment. */
const mark = (id: string): string => `COXSWAIN_CONTAINER=${id}`
/** Every process of the node, shims among them, has this: whoever ends the node finds them by it. */
export const nodeMark = (rootDir: string): [name: string, value: string] => ['COXSWAIN_NODE', rootDir]

/** Enters the pod's network namespace where it has one of its own (as root, with the network `bridge`). */
const inNamespace = (namespace: string, args: string[]): string[] =>
  namespace === 'node' ? args : ['nsenter', `--net=${namespace}`, '--', ...args]

/** Throws when the catalogue file is wrong. Nothing is started. */
export async function createProcessRuntime(options: ProcessRuntimeOptions): Promise<ContainerRuntime> {
  await mkdir(options.rootDir, { recursive: true })
  const rootDir = await realpath(options.rootDir)
  const layersDirectory = join(rootDir, 'images')
  await mkdir(layersDirectory, { recursive: true })
  const catalogue = await openCatalogue({
    layersDirectory,
    file: options.catalogueFile,
    mapped: mappedFile(options.imageStore ?? join(rootDir, 'image-store')),
    overlay: false,
  })
  const [markName, markValue] = nodeMark(rootDir)
  const pipes = openPipes()
  const shims = openShims({ [markName]: markValue }, pipes)
  const uid = process.getuid?.() ?? 0
  const user: ContainerUser = { uid, gid: process.getgid?.() ?? 0, supplementalGroups: process.getgroups?.() ?? [] }

  const launched = (directory: string): Launch => {
    const launch = readEntry<Launch>(directory, 'launch.json')
    if (launch === undefined) throw new Error(`container ${directory} not found`)
    return launch
  }
  const running = (directory: string): Launch => {
    const launch = launched(directory)
    if (readStatus(directory)?.state !== 'running') throw new Error(`container ${launch.id} is not running`)
    return launch
  }

  async function prepare(spec: ContainerSpec): Promise<Launch> {
    const root = join(spec.directory, 'root')
    const mounts = await makeRoot(root, spec.mounts)
    // What the image brings is beside what the pod mounts: its places are the image's affair.
    for (const { destination, source } of spec.image.mounts ?? []) {
      const link = join(root, 'image', destination)
      await mkdir(dirname(link), { recursive: true })
      if (source !== undefined) await symlink(source, link)
    }
    const env = processEnvironment(spec, root, mounts, { [markName]: markValue, COXSWAIN_CONTAINER: spec.id })
    // Made if it is missing: never outside of the root.
    const cwd = join(root, posix.resolve('/', spec.workingDir))
    await mkdir(cwd, { recursive: true })
    const [program = '', ...args] = imageCommand(spec.image, spec.args)
    const failure = (why: string): Error => new Error(startFailure(`unable to start container process: ${why}`))
    const command = [findProgram(program, env, cwd, failure), ...args]
    const cgroup = options.cgroupRoot === undefined ? undefined : await makeCgroup(`${options.cgroupRoot}/${spec.cgroup}`)
    return {
      id: spec.id,
      args: await inCgroup(cgroup, inNamespace(spec.networkNamespace, command)),
      env,
      cwd,
      logPath: spec.logPath,
      tty: spec.tty,
      stdin: spec.stdin,
      stdinOnce: spec.stdinOnce,
      namespace: spec.networkNamespace,
      ...(cgroup === undefined ? {} : { cgroup }),
    }
  }

  async function start(spec: ContainerSpec): Promise<ContainerStatus> {
    const { directory } = spec
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await mkdir(dirname(spec.logPath), { recursive: true })
    try {
      writeEntry(directory, 'launch.json', await prepare(spec))
      await shims.start(directory)
    } catch (error) {
      await remove(directory).catch(() => {})
      throw error
    }
    return { ...readStatus(directory)!, user }
  }

  async function killAll(directory: string, id: string): Promise<void> {
    const cgroup = readEntry<Launch>(directory, 'launch.json')?.cgroup
    const started = readEntry<Started>(directory, 'process')
    try {
      if (runs(started)) process.kill(-started!.pid, 'SIGKILL')
    } catch {
      // no group of that number any more
    }
    await killMarked(mark(id))
    // What has thrown its environment away.
    if (cgroup !== undefined) await killCgroup(cgroup)
  }

  async function remove(directory: string): Promise<void> {
    const launch = readEntry<Launch>(directory, 'launch.json')
    if (launch) {
      const pid = shimPid(directory)
      // It must not write into a directory that is being removed.
      if (pid !== undefined) process.kill(pid, 'SIGKILL')
      await killAll(directory, launch.id)
      if (launch.cgroup !== undefined) await removeCgroup(launch.cgroup)
    }
    await removeTree(directory)
  }

  async function wait(directory: string, signal?: AbortSignal): Promise<ContainerStatus> {
    for (;;) {
      signal?.throwIfAborted()
      // Looked for first: it goes in its turn once the exit code is there.
      const shim = shimPid(directory)
      const status = readStatus(directory)
      if (status === undefined) throw new Error(`container ${directory} was removed`)
      if (status.state === 'exited') return status
      if (status.state === 'running' && shim === undefined) {
        // A container whose shim was killed has nobody to read its output or to learn its exit code: it ends, as if killed.
        await killAll(directory, status.id)
        writeEntry(directory, 'exit', { exitCode: 137, signal: 9, finishedAt: new Date().toISOString() })
        continue
      }
      const exit = join(directory, 'exit')
      if (shim !== undefined) await fileOf(shim, exit, signal)
      else await fileEvent(exit, AbortSignal.any([AbortSignal.timeout(SHIM_CHECK_MS), ...(signal ? [signal] : [])]))
    }
  }

  return {
    name: 'process',
    version: process.versions.node,
    handlers: new Map(
      ['', 'process'].map(handler => [handler, { isolated: false, recursiveReadOnlyMounts: false, userNamespaces: false }]),
    ),
    // Whatever user the image asks for, it is this one.
    images: hostImages(catalogue, uid === 0 ? '' : String(uid)),
    start,
    remove,
    wait,
    unsupported: pod => unsupportedFields(pod, { uid, mounts: uid === 0 && process.platform === 'linux' }),
    status: directory => Promise.resolve(readStatus(directory)),
    async adopt(directory) {
      // A shim starts its program whoever waits for that.
      const end = AbortSignal.timeout(START_TIMEOUT_MS)
      for (;;) {
        const onTheWay = readStatus(directory)?.state === 'created' && shimPid(directory) !== undefined
        const status = readStatus(directory)
        if (!onTheWay || end.aborted) return status && { ...status, user }
        await fileEvent(join(directory, 'process'), AbortSignal.timeout(SHIM_START_CHECK_MS))
      }
    },
    async kill(directory, signal) {
      const status = readStatus(directory)
      const started = readEntry<Started>(directory, 'process')
      if (status?.state !== 'running' || !runs(started)) return false
      if (signal === 'SIGKILL') await killAll(directory, status.id)
      else process.kill(status.pid!, signalNumber(signal) ?? constants.signals.SIGTERM)
      return true
    },
    async exec(directory, execOptions) {
      const launch = running(directory)
      return await execInRoot(launch, args => inCgroup(launch.cgroup, inNamespace(launch.namespace, args)), pipes, execOptions)
    },
    async writeStdin(directory, data) {
      running(directory)
      await writeToShim(directory, data)
    },
    async resizeTerminal(directory, size) {
      const path = join(directory, 'terminal')
      if (!existsSync(path)) return
      await run('stty', [
        process.platform === 'linux' ? '-F' : '-f',
        readFileSync(path, 'utf8').trim(),
        'rows',
        String(size.Height),
        'cols',
        String(size.Width),
      ]).catch(() => {})
    },
    reopenLog(directory) {
      const pid = shimPid(directory)
      if (pid !== undefined) process.kill(pid, 'SIGUSR2')
      return Promise.resolve()
    },
    writableLayer: directory => join(directory, 'root'),
    async stats(directory) {
      const launch = readEntry<Launch>(directory, 'launch.json')
      if (launch === undefined || readStatus(directory)?.state !== 'running') return undefined
      // Its control group names them; without one the whole process table has to be searched.
      const pids = launch.cgroup === undefined ? processesMarked(mark(launch.id)) : await cgroupProcesses(launch.cgroup)
      return processUsage(pids)
    },
  }
}
