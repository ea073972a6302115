/**
 * The runtimes of a node as one: a container is with the runtime that the handler of its pod's RuntimeClass names, and stays with it: each
 * finds what it has started by the files in the container's directory.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ContainerRuntime } from './runtime.ts'

/** Plain processes beside another runtime, which has everything that does not ask for them. */
export function besideProcesses(own: ContainerRuntime, processes: ContainerRuntime): ContainerRuntime {
  const of = (directory: string): ContainerRuntime => (existsSync(join(directory, 'launch.json')) ? processes : own)
  const named = (handler = ''): ContainerRuntime => (processes.handlers.has(handler) && handler !== '' ? processes : own)
  return {
    name: own.name,
    version: own.version,
    images: own.images,
    ...(own.check ? { check: own.check } : {}),
    handlers: new Map([...processes.handlers].filter(([name]) => name !== '').concat([...own.handlers])),
    unsupported: (pod, handler) => named(handler).unsupported?.(pod, handler) ?? [],
    async start(spec) {
      const runtime = named(spec.handler)
      if (runtime === processes && !spec.image.id.startsWith('host-image://'))
        throw new Error(`the runtime "process" has the node's own files only: image ${JSON.stringify(spec.image.image)} brings others`)
      return await runtime.start(spec)
    },
    status: directory => of(directory).status(directory),
    adopt: directory => of(directory).adopt(directory),
    update: async (directory, resources) => {
      const { update } = of(directory)
      if (!update) throw new Error('resources of plain processes cannot be changed')
      await update(directory, resources)
    },
    wait: (directory, signal) => of(directory).wait(directory, signal),
    kill: (directory, signal) => of(directory).kill(directory, signal),
    exec: (directory, options) => of(directory).exec(directory, options),
    writeStdin: (directory, data) => of(directory).writeStdin(directory, data),
    resizeTerminal: (directory, size) => of(directory).resizeTerminal(directory, size),
    reopenLog: directory => of(directory).reopenLog(directory),
    remove: directory => of(directory).remove(directory),
    writableLayer: directory => of(directory).writableLayer(directory),
    stats: directory => of(directory).stats(directory),
  }
}
