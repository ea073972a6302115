/**
 * The process namespace that the containers of a pod share (shareProcessNamespace). A namespace lives as long as its first process, which
 * must outlive them all: as upstream's pause container it only collects what others leave behind. Pods whose containers share nothing have
 * none.
 */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { namespacesOf } from '../container/spec.ts'
import type { PodContext } from '../context.ts'
import { uidOf } from './containers.ts'
import { podHostname } from './files.ts'
import { podCgroup } from './qos.ts'

const script = 'trap "exit 0" TERM; while :; do sleep 2147483647 & wait; done'
/** The node's own shell: those of the pod may have none. */
const image = { image: 'pause', id: 'pause', entrypoint: [], cmd: [], env: [], workingDir: '/', user: '' }
const nobody = 65535
const directoryOf = (ctx: PodContext): string => join(ctx.directory.root, 'pause')

/** The first process of the namespace; it is started when it does not run. */
export async function pausePid(ctx: PodContext): Promise<number> {
  const { pod, kubelet, state } = ctx
  const directory = directoryOf(ctx)
  const running = await kubelet.runtime.status(directory).catch(() => undefined)
  if (running?.state === 'running' && running.pid !== undefined) return running.pid
  await kubelet.runtime.remove(directory)
  const id = createHash('sha256')
    .update(`${uidOf(pod)}/pause/${Date.now()}`)
    .digest('hex')
  const { pid } = await kubelet.runtime.start({
    id,
    directory,
    ...(state.sandbox?.handler ? { handler: state.sandbox.handler } : {}),
    image,
    args: ['/bin/sh', '-c', script],
    env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    workingDir: '/',
    user: { uid: nobody, gid: nobody, supplementalGroups: [] },
    hostname: podHostname(pod, kubelet.nodeName, kubelet.names.domain).hostname,
    mounts: [],
    logPath: join(directory, 'log'),
    networkNamespace: state.sandbox?.networkNamespace ?? 'node',
    hostPID: false,
    hostIPC: pod.spec.hostIPC ?? false,
    ...namespacesOf(state.sandbox?.namespaces),
    stdin: false,
    stdinOnce: false,
    tty: false,
    privileged: false,
    readOnlyRootFilesystem: true,
    allowPrivilegeEscalation: false,
    capabilities: { add: [], drop: ['ALL'] },
    sysctls: {},
    resources: { cpuShares: 2 },
    oomScoreAdj: -998,
    cgroup: `${podCgroup(pod)}/${id}`,
  })
  if (pid === undefined) throw new Error('the pause process of the pod ended at once')
  return pid
}

/** Ends it, once nothing else runs in the pod. Idempotent. */
export const removePause = (ctx: PodContext): Promise<void> =>
  existsSync(directoryOf(ctx)) ? ctx.kubelet.runtime.remove(directoryOf(ctx)) : Promise.resolve()
