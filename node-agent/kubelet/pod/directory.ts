/** Where everything of a pod is: `<root-dir>/pods/<uid>/`, so that `ls` explains a node. */
import { join } from 'node:path'

export interface PodDirectory {
  readonly root: string
  /** The pod as last seen from the API. */
  readonly pod: string
  /** What the kubelet remembers of it: sandbox and containers. */
  readonly state: string
  readonly hosts: string
  readonly resolv: string
  readonly hostname: string
  readonly volumes: string
  /** One file for each volume that its directory's name does not tell enough of. */
  readonly volumeRecords: string
  /** `<volume>/<container>/<index of the mount>` below it: what subPath means, mounted. */
  readonly subPaths: string
  /** What its volumes hold in memory: below a tmpfs that all pods of the node share. */
  readonly memory: string
  /** `<name>/<attempt>/` below it belongs to the runtime. */
  readonly containers: string
  readonly logs: string
}

export const podsDirectory = (rootDir: string): string => join(rootDir, 'pods')

export function podDirectory(rootDir: string, uid: string): PodDirectory {
  const root = join(podsDirectory(rootDir), uid)
  return {
    root,
    pod: join(root, 'pod.json'),
    state: join(root, 'state.json'),
    hosts: join(root, 'etc-hosts'),
    resolv: join(root, 'resolv.conf'),
    hostname: join(root, 'hostname'),
    volumes: join(root, 'volumes'),
    volumeRecords: join(root, 'volume-records'),
    subPaths: join(root, 'volume-subpaths'),
    memory: join(rootDir, 'memory', uid),
    containers: join(root, 'containers'),
    logs: join(root, 'logs'),
  }
}

export const containerDirectory = (d: PodDirectory, name: string, attempt: number): string => join(d.containers, name, String(attempt))
export const terminationLog = (d: PodDirectory, name: string, attempt: number): string =>
  join(d.containers, name, `termination-log-${attempt}`)
export const logFile = (d: PodDirectory, name: string, attempt: number): string => join(d.logs, name, `${attempt}.log`)
/** A volume's directory below `volumes` or `memory`: `kubernetes.io~empty-dir/<name>` as upstream lays them out. */
export const volumeDirectory = (below: string, plugin: string, name: string): string => join(below, plugin.replace('/', '~'), name)
