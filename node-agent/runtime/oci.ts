/**
 * The `oci` runtime: every container is an OCI bundle on an overlay of its image's layers or of the node's root, run by runc (or crun)
 * under a conmon of its own.
 */
import { existsSync, readFileSync } from 'node:fs'
import { access, constants as modes, mkdir, open, readFile, readlink, realpath, symlink, writeFile } from 'node:fs/promises'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import type { Logger } from '#shared/component/log.ts'
import { cgroupDirectory, hasController, isCgroup2, killCgroup, removeCgroup } from '#shared/linux/cgroup.ts'
import { ensureCgroup, readCgroup } from '#shared/linux/cgroupresources.ts'
import { listMounts, mount } from '#shared/linux/mount.ts'
import { removeTree } from '#shared/linux/removetree.ts'
import { run } from '#shared/linux/run.ts'
import { programBegins } from './oci/begins.ts'
import { availableCapabilities, containerCapabilities } from './oci/capabilities.ts'
import { bundleConfig, cgroupPath, type Host } from './oci/bundle.ts'
import { updateContainerCgroup } from './oci/cgroups.ts'
import { execInContainer } from './oci/exec.ts'
import { makeHostRoot } from './oci/hostroot.ts'
import { makeImageRoot, makeRoot } from './oci/rootfs.ts'
import {
  createUnderShim,
  forgetProcess,
  readRecord,
  readStatus,
  release,
  shimPid,
  startProcess,
  signalProcess,
  waitForExit,
  writeRecord,
} from './oci/shim.ts'
import { checkPrograms, findRuntimes, type RuntimeBinary } from './oci/runtimes.ts'
import { seccompProfile } from './oci/seccomp.ts'
import { shareMounts, unshareMounts } from './oci/sharedmounts.ts'
import { writeToShim } from './oci/stdin.ts'
import { unsupportedFields } from './oci/unsupported.ts'
import { planMounts, rootPlace, userNamespacesSupported } from './oci/usernamespace.ts'
import { resolveUser, type ResolvedUser } from './oci/users.ts'
import { openCatalogue } from './images/catalogue.ts'
import { hostImages } from './images/hostimages.ts'
import { mappedFile } from './images/mapped.ts'
import { registryFetch } from '../registry/puller.ts'
import { openImageStore } from './images/imagestore.ts'
import { lowerLayers, readIn } from './images/lowerlayers.ts'
import { imageService } from './images/service.ts'
import { signalNumber } from './signals.ts'
import {
  CreateContainerError,
  type ContainerRuntime,
  type ContainerSpec,
  type ContainerStatus,
  type ContainerUsage,
  type ContainerUser,
} from './runtime.ts'

export interface OciOptions {
  /**
   * The node's state directory; the runtime keeps images' own files in `images/` below it and what dies with the node in `run/`, which is
   * in memory.
   */
  rootDir: string
  /** Absolute below the cgroup root: `/coxswain-x/node-1`. */
  cgroupRoot: string
  /** A catalogue of the user's, in YAML, over the built-in one. */
  catalogueFile?: string
  /** Paths of further OCI runtimes by handler, see findRuntimes. */
  runtimes?: Readonly<Record<string, string>>
  /** Where the machine keeps images; by default in the state directory. */
  imageStore?: string
  /** How registries are reached: a registries.yaml. */
  registries?: string
  log?: Logger
}

/** Makes the runtime; throws when runc (or crun) or conmon is missing, or the catalogue file is wrong. Nothing is started. */
export async function createOciRuntime(options: OciOptions): Promise<ContainerRuntime> {
  const runtimes = findRuntimes(options.runtimes)
  const byDefault = runtimes.get('')!
  const [versionText, conmonHelp] = await Promise.all([run(byDefault.path, ['--version']), run(byDefault.conmon, ['--help'])])
  const version = /version (\S+)/.exec(versionText)?.[1] ?? 'unknown'
  for (const binary of runtimes.values()) binary.noSyncLog = conmonHelp.includes('--no-sync-log')
  const binaryOf = ({ handler = '' }: { handler?: string }): RuntimeBinary => {
    const binary = runtimes.get(handler)
    if (binary === undefined) throw new Error(`no runtime for ${JSON.stringify(handler)} is configured`)
    return binary
  }
  // The kernel tells of mounts by their real paths.
  await mkdir(options.rootDir, { recursive: true })
  const rootDir = await realpath(options.rootDir)
  const [layersDirectory, runDirectory] = ['images', 'run'].map(name => join(rootDir, name)) as [string, string]
  await Promise.all([mkdir(layersDirectory, { recursive: true }), inMemory(runDirectory, 'coxswain-run', '700')])
  const hostRoot = await makeHostRoot(runDirectory)
  const emptyLayer = join(runDirectory, 'empty')
  await mkdir(emptyLayer, { recursive: true })
  const mayShow = (trees: readonly string[]): void => {
    const tree = trees.find(t => `${rootDir}/`.startsWith(`${t}/`))
    if (tree !== undefined) throw new Error(`containers would see the node's state directory ${rootDir}, which is below ${tree}`)
  }
  mayShow(hostRoot.trees)
  const imageStore = options.imageStore ?? join(rootDir, 'image-store')
  const store = await openImageStore(imageStore)
  const catalogue = await openCatalogue({ layersDirectory, file: options.catalogueFile, mapped: mappedFile(imageStore) })
  const users = await userNamespacesSupported([rootDir, runDirectory, ...hostRoot.trees])
  const hugetlb = hasController('hugetlb')
  const host: Host = {
    capabilities: availableCapabilities(),
    oomScoreFloor: oomScoreFloor(),
    cgroup2: isCgroup2(),
    allDevices: allDevicesAllowed(),
    cgroupRoot: options.cgroupRoot,
  }

  const container = async (directory: string) => {
    const record = await readRecord(directory)
    if (record === undefined) throw new Error(`container ${directory} not found`)
    return record
  }
  const running = async (directory: string) => {
    const [record, status] = [await container(directory), await readStatus(directory)]
    if (status?.state !== 'running') throw new Error(`container ${record.id} is not running`)
    return { ...record, pid: status.pid! }
  }

  async function remove(directory: string): Promise<void> {
    const record = await readRecord(directory)
    if (record) {
      await forgetProcess(directory)
      await killCgroup(record.cgroup)
      // conmon goes by itself once its container has; it must not write into a directory that is being removed.
      const shim = shimPid(directory, record.id)
      if (shim !== undefined) process.kill(shim, 'SIGKILL')
      // Its parents stay for whoever named them: another container may be about to start in them.
      await removeCgroup(record.cgroup)
    }
    const run = await readlink(join(directory, 'run')).catch(() => undefined)
    if (run !== undefined) {
      await unshareMounts(join(run, 'shared'))
      await removeTree(run)
    }
    await removeTree(directory)
  }

  async function start(spec: ContainerSpec): Promise<ContainerStatus> {
    const { directory } = spec
    const run = join(runDirectory, spec.id)
    let made = false
    let user: ResolvedUser
    await mkdir(directory, { recursive: true })
    try {
      if (spec.args.length === 0) throw new Error(`failed to generate container "${spec.id}" spec: no command specified`)
      // First, that it is found again.
      await symlink(run, join(directory, 'run'))
      await Promise.all([run, dirname(spec.logPath)].map(path => mkdir(path, { recursive: true })))
      await writeRecord(directory, {
        id: spec.id,
        cgroup: cgroupPath(spec, host),
        tty: spec.tty,
        stdin: spec.stdin,
        ...(spec.handler ? { handler: spec.handler } : {}),
      })
      const { layers: imageLayers = [], trees = [], root: own, volumes = [] } = spec.image
      mayShow(trees)
      const view = lowerLayers(own?.layers ?? [...imageLayers, hostRoot.base].map(layer => ({ directory: layer, opaque: [] })))
      const capabilities = containerCapabilities(spec.capabilities, spec.privileged, host.capabilities)
      const [root, passwd, group, seccomp, mounts] = await Promise.all([
        own
          ? makeImageRoot(directory, own, volumes, emptyLayer)
          : makeRoot(directory, imageLayers, { ...hostRoot, trees: [...hostRoot.trees, ...trees] }),
        readIn(view, 'etc/passwd'),
        readIn(view, 'etc/group'),
        seccompProfile(spec, capabilities, join(rootDir, 'seccomp')),
        shareMounts(spec.mounts, join(run, 'shared')),
        ensureCgroup(cgroupPath(spec, host), spec.resources),
      ])
      user = resolveUser(spec.user, spec.image.user, passwd, group)
      const users = spec.userNamespace && (await planMounts(directory, root, mounts, spec.userNamespace))
      const config = bundleConfig(
        { ...spec, mounts: users?.mounts ?? mounts },
        { ...root, path: users ? rootPlace : join(directory, 'root') },
        user,
        host,
        seccomp,
      )
      await writeFile(join(directory, 'config.json'), JSON.stringify(config))
      const binary = binaryOf(spec)
      // Without it no container fails: it is not there yet.
      for (const program of [binary.path, binary.conmon]) await access(program, modes.X_OK)
      made = true
      const created = await createUnderShim(binary, spec, root, users?.command)
      await startProcess(binary, spec.id, directory, created)
    } catch (error) {
      await remove(directory).catch(() => {})
      if (made || error instanceof CreateContainerError) throw error
      throw new CreateContainerError((error as Error).message, { cause: error })
    }
    return { ...(await readStatus(directory))!, user: asContainerUser(user) }
  }

  return {
    name: byDefault.name,
    version,
    handlers: new Map(
      [...runtimes.keys()].map(handler => [
        handler,
        { isolated: true, recursiveReadOnlyMounts: handler !== 'runsc', userNamespaces: users && handler !== 'runsc' },
      ]),
    ),
    unsupported: pod => unsupportedFields(pod, { hugetlb }),
    images: imageService({ store, host: hostImages(catalogue), fetch: registryFetch(store, options) }),
    check: () => checkPrograms(byDefault),
    start,
    remove,
    async status(directory) {
      const status = await readStatus(directory)
      if (status?.state !== 'running') return status
      const resources = await readCgroup((await container(directory)).cgroup)
      return resources ? { ...status, resources } : status
    },
    update: async (directory, resources) => await updateContainerCgroup((await running(directory)).cgroup, resources),
    async adopt(directory) {
      const found = await readStatus(directory)
      if (found?.state === 'created' && found.pid !== undefined) await release(binaryOf(await container(directory)), found.id, directory)
      const status = await readStatus(directory)
      return status && { ...status, ...(await startedAs(directory)) }
    },
    wait: waitForExit,
    async kill(directory, signal) {
      const record = await readRecord(directory)
      let status = record && (await readStatus(directory))
      if (status?.state === 'running' && (await programBegins(status.pid!))) status = await readStatus(directory)
      if (record === undefined || status?.state !== 'running') return false
      // In a PID namespace the first process takes the others along; with the node's, nothing does.
      if (signal === 'SIGKILL') await killCgroup(record.cgroup)
      else await signalProcess(binaryOf(record), record.id, directory, status.pid!, signalNumber(signal) ?? constants.signals.SIGTERM)
      return true
    },
    async exec(directory, execOptions) {
      const found = await running(directory)
      return await execInContainer(binaryOf(found), directory, found, execOptions)
    },
    async writeStdin(directory, data) {
      const { pid, tty } = await running(directory)
      await writeToShim(directory, pid, tty, data)
    },
    resizeTerminal: (directory, size) => tellShim(directory, `1 ${size.Height} ${size.Width}\n`),
    reopenLog: directory => tellShim(directory, '2 0 0\n'),
    writableLayer: directory => join(directory, 'upper'),
    async stats(directory) {
      const record = await readRecord(directory)
      return record && (await readStats(record.cgroup))
    },
  }

  /** conmon reads commands from a pipe. Opened without waiting: nobody reads when it is gone. */
  async function tellShim(directory: string, message: string): Promise<void> {
    const { id } = await container(directory)
    if (shimPid(directory, id) === undefined) return
    const pipe = await open(join(directory, 'ctl'), 'r+')
    await pipe.write(message).finally(() => pipe.close())
  }
}

/** As its bundle has it; nothing when that is gone. */
async function startedAs(directory: string): Promise<Pick<ContainerStatus, 'user'>> {
  const text = await readFile(join(directory, 'config.json'), 'utf8').catch(() => undefined)
  if (text === undefined) return {}
  return { user: asContainerUser((JSON.parse(text) as { process: { user: ResolvedUser } }).process.user) }
}
const asContainerUser = ({ uid, gid, additionalGids }: ResolvedUser): ContainerUser => ({ uid, gid, supplementalGroups: additionalGids })

/** A tmpfs that lives as long as the node, unless it is there. */
async function inMemory(directory: string, source: string, mode: string): Promise<void> {
  await mkdir(directory, { recursive: true })
  if (!(await listMounts()).some(m => m.target === directory)) await mount('tmpfs', source, directory, [`mode=${mode}`, 'size=64m'])
}

/** Without CAP_SYS_RESOURCE the kernel refuses an oom_score_adj below our own. */
function oomScoreFloor(): number | undefined {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`)
  const CAP_SYS_RESOURCE = 24n
  return (effective >> CAP_SYS_RESOURCE) & 1n ? undefined : Number(readFileSync('/proc/self/oom_score_adj', 'utf8'))
}

/** Whether the cgroups that we live in, on version 1, allow every device: in a container they name some. */
function allDevicesAllowed(): boolean {
  const list = '/sys/fs/cgroup/devices/devices.list'
  return isCgroup2() || !existsSync(list) || readFileSync(list, 'utf8').startsWith('a ')
}

async function readStats(cgroup: string): Promise<ContainerUsage | undefined> {
  const read = (controller: string, file: string): Promise<string> => readFile(join(cgroupDirectory(controller, cgroup), file), 'utf8')
  const field = (text: string, name: string): number => Number(new RegExp(`^${name} (\\d+)`, 'm').exec(text)?.[1] ?? 0)
  try {
    const two = isCgroup2()
    const [usage, memory, cpu] = await Promise.all([
      read('memory', two ? 'memory.current' : 'memory.usage_in_bytes'),
      read('memory', 'memory.stat'),
      two ? read('cpu', 'cpu.stat') : read('cpuacct', 'cpuacct.usage'),
    ])
    // The working set, as cAdvisor counts it: what could not be dropped at once.
    const memoryBytes = Math.max(0, Number(usage) - field(memory, two ? 'inactive_file' : 'total_inactive_file'))
    const rssBytes = field(memory, two ? 'anon' : 'total_rss')
    return { memoryBytes, usageBytes: Number(usage), rssBytes, cpuNanos: two ? field(cpu, 'usage_usec') * 1000 : Number(cpu) }
  } catch {
    return undefined
  }
}
