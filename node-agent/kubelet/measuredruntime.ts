/** A container runtime whose calls are counted by the names of CRI, as the kubelet's instrumented runtime service does. */
import { runtimeOperationErrors, runtimeOperations } from './metrics.ts'
import type { ImageService } from '../runtime/imageservice.ts'
import { CreateContainerError, type ContainerRuntime } from '../runtime/runtime.ts'

const operations: { readonly [method in keyof ContainerRuntime]?: string } = {
  start: 'start_container',
  adopt: 'container_status',
  update: 'update_container',
  kill: 'stop_container',
  exec: 'exec_sync',
  reopenLog: 'reopen_container_log',
  remove: 'remove_container',
}
const imageOperations: { readonly [method in keyof ImageService]?: string } = {
  pull: 'pull_image',
  list: 'list_images',
  remove: 'remove_image',
}

/** `notCreated` hears of containers that could not be made. */
export const measuredRuntime = (runtime: ContainerRuntime, notCreated: () => void = () => {}): ContainerRuntime =>
  measured({ ...runtime, start: told(runtime.start, notCreated) }, operations, { images: measured(runtime.images, imageOperations) })

const told =
  (start: ContainerRuntime['start'], notCreated: () => void): ContainerRuntime['start'] =>
  spec =>
    start(spec).catch((e: Error) => {
      if (e instanceof CreateContainerError) notCreated()
      throw e
    })

/** The same object, but for these methods, and for what is replaced. */
function measured<T extends object>(target: T, names: { readonly [method in keyof T]?: string }, replaced: Partial<T> = {}): T {
  const changed: Partial<T> = { ...replaced }
  for (const [method, name] of Object.entries(names) as [keyof T, string][]) {
    const original = target[method]
    if (typeof original === 'function')
      changed[method] = ((...args: unknown[]) => timed(name, original.apply(target, args) as Promise<unknown>)) as T[keyof T]
  }
  return new Proxy(target, {
    get(of, key) {
      if (Object.hasOwn(changed, key)) return Reflect.get(changed, key) as unknown
      const value: unknown = Reflect.get(of, key)
      return typeof value === 'function' ? (value.bind(of) as unknown) : value
    },
  })
}

async function timed<T>(operation_type: string, work: Promise<T>): Promise<T> {
  const began = performance.now()
  try {
    return await work
  } catch (e) {
    runtimeOperationErrors.add({ operation_type })
    throw e
  } finally {
    runtimeOperations.observe((performance.now() - began) / 1000, { operation_type })
  }
}
