/** Which device nodes a node's driver of dynamic resources gives away, and how containers get them. */
import { statSync } from 'node:fs'
import { basename } from 'node:path'
import type { ResourceSlice } from '#shared/api/resource/resourceslice.ts'

export const driverName = 'devices.coxswain.io'

/** A device node of the machine; so many pods of a node may have it at the same time. */
export interface Offered {
  readonly path: string
  readonly times: number
}

/** `/dev/fuse=2,/dev/net/tun`: what may be given away, how often at a time. Throws an Error for what cannot be read. */
export function parseOffered(text: string): Offered[] {
  return text
    .split(',')
    .filter(Boolean)
    .map(part => {
      const [, path, times = '1'] = /^(\/dev\/[\w./-]+)(?:=([1-9]\d{0,2}))?$/.exec(part.trim()) ?? []
      if (path === undefined || path.includes('..'))
        throw new Error(`${JSON.stringify(part)} is not a device and how often it may be given`)
      return { path, times: Number(times) }
    })
}

/** The name of a device in its slice: `fuse-0`. */
const nameOf = (path: string, i: number): string => `${kindOf(path)}-${i}`
const kindOf = (path: string): string =>
  basename(path)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')

/** By the names of the devices, the paths; of those that are there as `isDevice` says. */
export function named(offered: readonly Offered[], isDevice: (path: string) => boolean): Map<string, string> {
  const there = offered.filter(({ path }) => isDevice(path))
  return new Map(there.flatMap(({ path, times }) => Array.from({ length: times }, (_, i) => [nameOf(path, i), path] as const)))
}
export function isCharacterDevice(path: string): boolean {
  try {
    return statSync(path).isCharacterDevice()
  } catch {
    return false
  }
}

/** What the scheduler is told: each device with its kind and path. */
export const slicesDevices = (devices: ReadonlyMap<string, string>): NonNullable<ResourceSlice['spec']['devices']> =>
  [...devices].map(([name, path]) => ({ name, attributes: { kind: { string: kindOf(path) }, path: { string: path } } })) as never

/** The CDI file of a claim's devices: a container that names one has the device node, and knows its path by a variable. */
export const cdiSpec = (claimUid: string, devices: readonly { name: string; path: string }[]): object => ({
  cdiVersion: '0.6.0',
  kind: `${driverName}/device`,
  devices: devices.map(({ name, path }) => ({
    name: `${claimUid}-${name}`,
    containerEdits: {
      deviceNodes: [{ path, permissions: 'rw' }],
      env: [`DEVICE_${kindOf(path).toUpperCase().replaceAll('-', '_')}=${path}`],
    },
  })),
})
export const cdiName = (claimUid: string, device: string): string => `${driverName}/device=${claimUid}-${device}`
