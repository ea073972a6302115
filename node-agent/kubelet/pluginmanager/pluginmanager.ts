/**
 * Plugins that register by a socket in `plugins_registry`: each is asked who it is, handed to the handler of its type, and told what came
 * of it; one whose socket has gone is let go. pkg/kubelet/pluginmanager
 */
import { lstatSync, mkdirSync, readdirSync, watch } from 'node:fs'
import { join } from 'node:path'
import { backoff, type Backoff } from '#shared/client/backoff.ts'
import type { Logger } from '#shared/component/log.ts'
import { grpcClient } from '#shared/grpc/client.ts'
import { getInfo, notifyRegistrationStatus, type PluginInfo } from '#shared/csi/registration.ts'

/** Takes the plugins of one type. */
export interface PluginHandler {
  /** Rejects when the plugin cannot be taken, which it is told. */
  register(plugin: PluginInfo & { name: string }, endpoint: string): Promise<void>
  /** `last`: no other socket by which a plugin of the name has registered is left. */
  deregister(name: string, endpoint: string, last: boolean): Promise<void>
}

interface Known {
  /** Another socket by the same name is another life of the plugin. */
  identity: string
  /** Once it is registered. */
  plugin?: { type: string; name: string; endpoint: string }
  pause: Backoff
  again?: NodeJS.Timeout
}

const timeoutMs = 10_000
/** More sockets than any node has plugins. */
const maxSockets = 200

/**
 * Follows the directory until `signal` aborts. `handlers` are by type, `pathOf` finds what plugins call `/var/lib/kubelet/...`. Throws when
 * the directory cannot be made.
 */
export function followPlugins(
  directory: string,
  handlers: { readonly [type: string]: PluginHandler },
  pathOf: (path: string) => string,
  log: Logger,
  signal: AbortSignal,
): void {
  mkdirSync(directory, { recursive: true, mode: 0o750 })
  const known = new Map<string, Known>()
  let turn: Promise<void> = Promise.resolve()

  function sockets(below = directory): Map<string, string> {
    const found = new Map<string, string>()
    for (const entry of readdirSync(below, { recursive: true, encoding: 'utf8' })) {
      const path = join(below, entry)
      const info = lstatSync(path, { throwIfNoEntry: false })
      // As upstream: what is hidden is not looked at.
      if (info?.isSocket() && !entry.split('/').some(part => part.startsWith('.'))) found.set(path, `${info.ino} ${info.ctimeMs}`)
      if (found.size >= maxSockets) break
    }
    return found
  }
  async function register(path: string, socket: Known): Promise<void> {
    const registrar = await grpcClient(path)
    try {
      const info = await registrar.call(getInfo, {}, timeoutMs)
      const { type = '', name = '' } = info
      const handler = handlers[type]
      if (!handler) throw new Error(`no handler registered for plugin type: ${type} at socket ${path}`)
      try {
        const endpoint = info.endpoint ? pathOf(info.endpoint) : path
        await handler.register({ ...info, name }, endpoint)
        socket.plugin = { type, name, endpoint }
      } catch (e) {
        await registrar.call(notifyRegistrationStatus, { pluginRegistered: false, error: (e as Error).message }, timeoutMs).catch(() => {})
        throw e
      }
      await registrar.call(notifyRegistrationStatus, { pluginRegistered: true }, timeoutMs)
      socket.pause.reset()
      log.info({ plugin: name, type }, 'plugin registered')
    } finally {
      registrar.close()
    }
  }
  async function forget(path: string, socket: Known): Promise<void> {
    clearTimeout(socket.again)
    const { plugin } = socket
    if (plugin) {
      const others = [...known.values()].flatMap(k => (k !== socket && k.plugin?.name === plugin.name ? [k.plugin] : []))
      // Another socket may lead to the same plugin.
      if (!others.some(o => o.endpoint === plugin.endpoint))
        await handlers[plugin.type]!.deregister(plugin.name, plugin.endpoint, others.length === 0)
      log.info({ plugin: plugin.name }, 'plugin has gone')
    }
    known.delete(path)
  }
  async function look(): Promise<void> {
    const found = sockets()
    for (const [path, socket] of known) {
      if (found.has(path)) continue
      await forget(path, socket).catch((e: Error) => log.warn({ socket: path, err: e.message }, 'plugin not let go'))
    }
    for (const [path, identity] of found) {
      const old = known.get(path)
      if (old?.identity === identity && (old.plugin || old.again)) continue
      const socket: Known = old?.identity === identity ? old : { identity, pause: old?.pause ?? backoff(500, 30_000) }
      clearTimeout(old?.again)
      known.set(path, socket)
      await register(path, socket).catch((e: Error) => {
        if (signal.aborted) return
        log.warn({ socket: path, err: e.message }, 'plugin not registered; will try again')
        // Registered all the same, if only that could not be told.
        if (socket.plugin) return
        socket.again = setTimeout(() => (delete socket.again, soon()), socket.pause.next()).unref()
      })
    }
  }
  function soon(): void {
    if (signal.aborted) return
    turn = turn.then(look).catch((e: Error) => log.warn({ err: e.message }, 'plugins are not followed'))
  }
  const watcher = watch(directory, { recursive: true, persistent: false }, () => soon())
  watcher.on('error', (e: Error) => log.warn({ err: e.message }, 'the directory of plugins is not watched'))
  signal.addEventListener('abort', () => {
    watcher.close()
    for (const { again } of known.values()) clearTimeout(again)
  })
  soon()
}
