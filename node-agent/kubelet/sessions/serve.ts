/** Serves what the API server asks of this node: one subject a verb. */
import type { BusConnection } from '#shared/bus/connection.ts'
import type { Session } from '#shared/bus/session.ts'
import { serveSessions } from '#shared/bus/sessions.ts'
import { nodeSubject } from '#shared/bus/subjects.ts'
import type { Status } from '#shared/machinery/status.ts'
import type { KubeletContext } from '../context.ts'
import type { CsiDrivers } from '../csi/drivers.ts'
import type { Kubelet } from '../kubelet.ts'
import { serveKubeletPort } from '../server/port.ts'
import { kubeletRequests } from '../server/requests.ts'
import { newSampler } from '../stats/sampler.ts'
import { attach } from './attach.ts'
import { dial } from './dial.ts'
import { exec } from './exec.ts'
import { serveHttp } from './http.ts'
import { logs } from './logs.ts'
import { portForward } from './portforward.ts'
import { ended } from './result.ts'
import { stats } from './stats.ts'
import { podStreams } from './streams.ts'

export function serveKubelet(
  connection: BusConnection,
  kubelet: Kubelet,
  context: Pick<KubeletContext, 'runtime' | 'network' | 'client' | 'nodeName' | 'nodeIP' | 'rootDir' | 'cgroupRoot' | 'log'> & {
    configuration: object
    clientCaFile?: string | undefined
    drivers?: CsiDrivers | undefined
  },
  signal: AbortSignal,
): void {
  const sampler = newSampler({ ...context, kubelet })
  const requests = kubeletRequests({ ...context, kubelet, sampler })
  const verbs: { [verb: string]: (session: Session) => Promise<Status> } = {
    exec: session => exec(kubelet, context, session),
    attach: session => attach(kubelet, context, session),
    logs: session => logs(kubelet, session),
    portforward: session => portForward(kubelet, session),
    stats: session => stats(sampler, session),
    dial,
  }
  const streams = podStreams(kubelet, context)
  signal.addEventListener('abort', () => streams.close(), { once: true })
  serveKubeletPort(context, requests, streams, signal)
  for (const [verb, run] of Object.entries({ ...verbs, http: serveHttp(requests, streams, signal) })) {
    const service = serveSessions(connection, nodeSubject(connection.identity, verb), ended(run))
    signal.addEventListener('abort', () => service.close(), { once: true })
  }
}
