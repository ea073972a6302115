/** Whether containers really start here: found out by starting one. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { createOciRuntime, type OciOptions } from './oci.ts'
import type { ContainerRuntime } from './runtime.ts'

export type Probe = { ok: true; runtime: ContainerRuntime } | { ok: false; why: string }

/** Starts a container that ends at once. `ok` comes with the runtime it was started by; `why` is one line. Leaves nothing behind. */
export async function probeRuntime(options: OciOptions): Promise<Probe> {
  const id = `probe-${randomBytes(4).toString('hex')}`
  const directory = join(options.rootDir, 'probe', id)
  let runtime: ContainerRuntime | undefined
  try {
    runtime = await createOciRuntime(options)
    await runtime.start({
      id,
      directory,
      image: { image: 'probe', id: 'probe', entrypoint: [], cmd: [], env: [], workingDir: '/', user: '' },
      args: ['/bin/sh', '-c', 'exit 7'],
      env: [],
      workingDir: '/',
      user: { supplementalGroups: [] },
      hostname: 'probe',
      mounts: [],
      logPath: join(directory, 'log'),
      networkNamespace: 'node',
      hostPID: false,
      hostIPC: false,
      stdin: false,
      stdinOnce: false,
      tty: false,
      privileged: false,
      readOnlyRootFilesystem: false,
      allowPrivilegeEscalation: false,
      capabilities: { add: [], drop: [] },
      sysctls: {},
      resources: { memoryBytes: 64 << 20 },
      cgroup: `probe/${id}`,
    })
    const { exitCode } = await runtime.wait(directory, AbortSignal.timeout(20_000))
    return exitCode === 7
      ? { ok: true, runtime }
      : { ok: false, why: `a container of ${runtime.name} ended with ${exitCode} in place of 7` }
  } catch (error) {
    return { ok: false, why: (error as Error).message.replaceAll('\n', ' ') }
  } finally {
    await runtime?.remove(directory).catch(() => {})
  }
}
