/** Calling CNI plugins, as the specification has it: programs that are told what to do by their environment and standard input. */
import { join } from 'node:path'
import { CommandError, run } from '#shared/linux/run.ts'
import { accessSync, constants } from 'node:fs'
import { speaks, type NetworkConfig, type PluginConfig } from './config.ts'
import type { CniResult } from './result.ts'

/** Plugins may wait for a DHCP server. */
const deadlineMs = 60_000
/** Answers are a few hundred bytes. */
const maxBytes = 1 << 20

/** Where in a pod a network goes, and what a plugin may know of that pod. */
export interface Place {
  containerId: string
  /** The path of the pod's network namespace. */
  netns: string
  ifname: string
  /** CNI_ARGS. */
  args: Readonly<Record<string, string>>
  /** What plugins that declare the capability get as `runtimeConfig`. */
  capabilities: Readonly<Record<string, unknown>>
  /** `args.cni` of each plugin's configuration. */
  cniArgs?: Readonly<Record<string, unknown>> | undefined
  /** Gateways that the pod's default routes lead to once the network is there, at most one of each family. Plugins are not told. */
  defaultRoute?: readonly string[] | undefined
}

/** The plugin's program in the first directory that has it. Throws in libcni's words. */
function programOf(type: string, directories: readonly string[]): string {
  for (const directory of directories) {
    try {
      accessSync(join(directory, type), constants.X_OK)
      return join(directory, type)
    } catch {
      // in the next, perhaps
    }
  }
  throw new Error(`failed to find plugin "${type}" in path [${directories.join(' ')}]`)
}

function configFor(network: NetworkConfig, plugin: PluginConfig, place: Place, prevResult: CniResult | undefined): object {
  const wanted = Object.entries(plugin.capabilities ?? {}).filter(([name, has]) => has && place.capabilities[name] !== undefined)
  const args = place.cniArgs && { args: { ...(plugin['args'] as object | undefined), cni: place.cniArgs } }
  return {
    ...plugin,
    ...{ name: network.name, cniVersion: network.cniVersion },
    ...args,
    ...(wanted.length > 0 ? { runtimeConfig: Object.fromEntries(wanted.map(([name]) => [name, place.capabilities[name]])) } : {}),
    ...(prevResult ? { prevResult } : {}),
  }
}

/** What a plugin says on standard output when it fails. */
function reason(e: unknown): string {
  if (!(e instanceof CommandError)) return (e as Error).message
  try {
    const { msg = '', details = '' } = JSON.parse(e.stdout) as { msg?: string; details?: string }
    if (msg !== '') return details === '' ? msg : `${msg}: ${details}`
  } catch {
    // It did not come that far.
  }
  return e.message
}

/** As libcni says what failed. */
const verbs = { ADD: 'add', DEL: 'delete', CHECK: 'check', GC: 'gc' }

/** Runs a plugin with a configuration, told besides what `env` says; resolves with what it wrote. */
function execute(
  action: keyof typeof verbs,
  { type }: PluginConfig,
  directories: readonly string[],
  config: object,
  env: Record<string, string> = {},
): Promise<string> {
  const failed = (why: string): Error => new Error(`plugin type="${type}" failed (${verbs[action]}): ${why}`)
  const told = { PATH: process.env['PATH'], CNI_COMMAND: action, CNI_PATH: directories.join(':'), ...env }
  const options = { env: told, input: JSON.stringify(config), timeoutMs: deadlineMs }
  return run(programOf(type, directories), [], options).then(
    out => (out.length > maxBytes ? Promise.reject(failed(`its result is larger than ${maxBytes} bytes`)) : out),
    (e: unknown) => Promise.reject(failed(reason(e))),
  )
}

async function call(
  action: 'ADD' | 'DEL' | 'CHECK',
  network: NetworkConfig,
  plugin: PluginConfig,
  { place, directories, prevResult }: { place: Place; directories: readonly string[]; prevResult: CniResult | undefined },
): Promise<CniResult | undefined> {
  const out = await execute(action, plugin, directories, configFor(network, plugin, place, prevResult), {
    CNI_CONTAINERID: place.containerId,
    CNI_NETNS: place.netns,
    CNI_IFNAME: place.ifname,
    CNI_ARGS: Object.entries(place.args).map(([name, value]) => `${name}=${value}`).join(';'), // prettier-ignore
  })
  if (action !== 'ADD') return undefined
  try {
    return JSON.parse(out) as CniResult
  } catch {
    throw new Error(`plugin type="${plugin.type}" failed (add): its result is no JSON: ${out.slice(0, 200)}`)
  }
}

/** Adds a pod to a network: each plugin is given what the one before answered. Rejects in the failing plugin's words. */
export async function addNetwork(network: NetworkConfig, place: Place, directories: readonly string[]): Promise<CniResult> {
  let prevResult: CniResult | undefined
  for (const plugin of network.plugins) prevResult = await call('ADD', network, plugin, { place, directories, prevResult })
  return prevResult!
}

/**
 * Takes it out again, from the last plugin to the first; plugins do not mind when there is nothing (any more). All are asked; rejects with
 * what the first failed with.
 */
export async function deleteNetwork(
  network: NetworkConfig,
  place: Place,
  directories: readonly string[],
  prevResult: CniResult | undefined,
): Promise<void> {
  const failures: Error[] = []
  for (const plugin of network.plugins.toReversed())
    await call('DEL', network, plugin, { place, directories, prevResult }).catch((e: Error) => failures.push(e))
  if (failures[0]) throw failures[0]
}

/**
 * Asks the plugins whether a pod is still in a network as they answered then (`result`), from version 0.4 of the specification on. Rejects
 * in the words of the first that finds it is not.
 */
export async function checkNetwork(network: NetworkConfig, place: Place, directories: readonly string[], result: CniResult): Promise<void> {
  if (network.disableCheck || !speaks(network, [0, 4])) return
  for (const plugin of network.plugins) await call('CHECK', network, plugin, { place, directories, prevResult: result })
}

/**
 * Tells the plugins who is in a network, from version 1.1 of the specification on: what they have for others they take back. All are told;
 * resolves with what failed.
 */
export async function collectGarbage(
  network: NetworkConfig,
  valid: readonly Pick<Place, 'containerId' | 'ifname'>[],
  directories: readonly string[],
): Promise<Error[]> {
  if (network.disableGC || !speaks(network, [1, 1])) return []
  const attachments = valid.map(({ containerId, ifname }) => ({ containerID: containerId, ifname }))
  const failures: Error[] = []
  for (const plugin of network.plugins) {
    const config = { ...plugin, name: network.name, cniVersion: network.cniVersion, 'cni.dev/valid-attachments': attachments }
    await execute('GC', plugin, directories, config).catch((e: Error) => failures.push(e))
  }
  return failures
}
