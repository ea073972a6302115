/** stats: the kubelet's summary of what the node and its pods use (/stats/summary), one JSON document on channel 1. */
import { Buffer } from 'node:buffer'
import { freemem, totalmem, uptime } from 'node:os'
import { Channel, type Session } from '#shared/bus/session.ts'
import { formatTime } from '#shared/machinery/time.ts'
import type { Status } from '#shared/machinery/status.ts'
import type { KubeletContext } from '../context.ts'
import type { Kubelet } from '../kubelet.ts'
import { containerDirectory } from '../pod/directory.ts'
import { success } from './result.ts'

/** Reads every container's control group once. */
export async function summary(kubelet: Kubelet, context: Pick<KubeletContext, 'runtime' | 'nodeName'>) {
  const time = formatTime()
  const pods = await Promise.all(
    kubelet.workers().map(async worker => {
      const running = Object.entries(worker.state.containers).filter(([, r]) => r.current.state === 'running')
      const containers = await Promise.all(
        running.map(async ([name, { current }]) => {
          const used = await context.runtime.stats(containerDirectory(worker.directory, name, current.attempt)).catch(() => undefined)
          if (!used) return []
          return [
            {
              name,
              startTime: current.startedAt,
              cpu: { time, usageCoreNanoSeconds: used.cpuNanos },
              memory: { time, workingSetBytes: used.memoryBytes, usageBytes: used.memoryBytes },
            },
          ]
        }),
      )
      const all = containers.flat()
      const { name, namespace, uid } = worker.pod.metadata
      return {
        podRef: { name, namespace, uid },
        startTime: worker.state.startTime,
        containers: all,
        cpu: { time, usageCoreNanoSeconds: all.reduce((n, c) => n + c.cpu.usageCoreNanoSeconds, 0) },
        memory: { time, workingSetBytes: all.reduce((n, c) => n + c.memory.workingSetBytes, 0) },
      }
    }),
  )
  const cpu = { time, usageCoreNanoSeconds: pods.reduce((n, p) => n + p.cpu.usageCoreNanoSeconds, 0) }
  const memory = {
    time,
    workingSetBytes: pods.reduce((n, p) => n + p.memory.workingSetBytes, 0),
    availableBytes: freemem(),
    usageBytes: totalmem() - freemem(),
  }
  return { node: { nodeName: context.nodeName, startTime: formatTime(new Date(Date.now() - uptime() * 1000)), cpu, memory }, pods }
}

export async function stats(
  kubelet: Kubelet,
  context: KubeletContext | Pick<KubeletContext, 'runtime' | 'nodeName'>,
  session: Session,
): Promise<Status> {
  await session.send(Channel.stdout, Buffer.from(JSON.stringify(await summary(kubelet, context))))
  return success
}
