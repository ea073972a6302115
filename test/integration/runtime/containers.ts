/** What the scenarios of the runtime share: a runtime on a node of its own, and container specs with little in them. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createOciRuntime } from '#node-agent/runtime/oci.ts'
import type { ContainerSpec, ExecOptions } from '#node-agent/runtime/runtime.ts'
import { nodeContext } from '../../fixtures/in-node.ts'

export const node = nodeContext()
export const openRuntime = () => createOciRuntime({ rootDir: join(node.directory, 'node'), cgroupRoot: node.cgroup })
export const directoryOf = (id: string): string => join(node.directory, 'node', 'pods', 'uid', id)
export const logOf = (id: string): string => readFileSync(join(node.directory, 'logs', `${id}.log`), 'utf8')
/** What the log holds without times and tags; a line that came in parts (tag P) is whole again. */
export const outputOf = (id: string): string => textOf(logOf(id))
export const textOf = (log: string): string =>
  log
    .split('\n')
    .filter(Boolean)
    .map(line => /^\S+ \S+ ([PF]) ?(.*)$/s.exec(line)!)
    .map(([, tag, text]) => (tag === 'P' ? text : `${text}\n`))
    .join('')
    .replace(/\n$/, '')

export const containerSpec = (id: string, args: string[], more: Partial<ContainerSpec> = {}): ContainerSpec => ({
  id,
  directory: directoryOf(id),
  image: { image: 'test', id: 'test', entrypoint: [], cmd: [], env: [], workingDir: '/', user: '' },
  args,
  env: [],
  workingDir: '',
  user: { supplementalGroups: [] },
  hostname: 'pod',
  mounts: [],
  logPath: join(node.directory, 'logs', `${id}.log`),
  networkNamespace: 'node',
  hostPID: false,
  hostIPC: false,
  stdin: false,
  stdinOnce: false,
  tty: false,
  privileged: false,
  readOnlyRootFilesystem: false,
  allowPrivilegeEscalation: true,
  capabilities: { add: [], drop: [] },
  sysctls: {},
  resources: {},
  cgroup: `burstable/pod1/${id}`,
  ...more,
})

export async function* bytes(...parts: string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part)
}

/** Runs a command in a container and returns its code and output. */
export async function exec(
  runtime: Awaited<ReturnType<typeof openRuntime>>,
  id: string,
  args: string[],
  more: Partial<ExecOptions> = {},
): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ['', '']
  const code = await runtime.exec(directoryOf(id), {
    args,
    tty: false,
    stdout: d => void (out += Buffer.from(d).toString()),
    stderr: d => void (err += Buffer.from(d).toString()),
    ...more,
  })
  return { code, out, err }
}
