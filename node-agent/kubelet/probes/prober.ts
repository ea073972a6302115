/** Carries out one probe of a container once. */
import type { Container } from '#shared/api/core/podspec/container.ts'
import type { Probe } from '#shared/api/core/podspec/probe.ts'
import type { ContainerRuntime } from '../../runtime/runtime.ts'
import { execOutcome } from './exec.ts'
import { probeGrpc } from './grpc.ts'
import { httpTarget, probeHttp } from './http.ts'
import type { Outcome } from './state.ts'
import { probeTcp } from './tcp.ts'

export interface ProbeTarget {
  runtime: ContainerRuntime
  /** The container's directory. */
  directory: string
  container: Pick<Container, 'name' | 'ports'>
  podIP: string
}

/** A number, a numeric text, or the name of one of the container's ports. Throws when there is none. */
export function resolvePort(port: number | string, container: Pick<Container, 'ports'>): number {
  const number =
    typeof port === 'number' ? port : /^\d+$/.test(port) ? Number(port) : container.ports?.find(p => p.name === port)?.containerPort
  if (number === undefined) throw new Error(`couldn't find port: ${port}`)
  if (number < 1 || number > 65_535) throw new Error(`invalid port number: ${number}`)
  return number
}

/** Never rejects. */
export async function runProbe(probe: Probe, target: ProbeTarget): Promise<Outcome> {
  const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000
  const { podIP, container } = target
  try {
    if (probe.exec) return await execOutcome(target.runtime, target.directory, probe.exec.command ?? [], timeoutMs)
    if (probe.httpGet) return await probeHttp(httpTarget(probe.httpGet, podIP, resolvePort(probe.httpGet.port, container)), timeoutMs)
    if (probe.tcpSocket) return await probeTcp(probe.tcpSocket.host || podIP, resolvePort(probe.tcpSocket.port, container), timeoutMs)
    if (probe.grpc) return await probeGrpc(podIP, probe.grpc.port, probe.grpc.service ?? '', timeoutMs)
    return { result: 'unknown', output: 'missing probe handler' }
  } catch (e) {
    return { result: 'unknown', output: (e as Error).message }
  }
}
