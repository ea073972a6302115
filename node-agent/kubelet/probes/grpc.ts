/** grpc probes: grpc.health.v1.Health/Check over plain HTTP/2; the two messages are small enough to write by hand. */
import { Buffer } from 'node:buffer'
import { hostPort } from '#shared/component/neterror.ts'
import { durationText } from '#shared/machinery/duration.ts'
import type { Outcome } from './state.ts'

/** More than any answer has, bytes. */
const maxAnswer = 4096

const statuses = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN']

/** HealthCheckRequest{service = 1} in gRPC's frame: no compression, four bytes of length. */
function request(service: string): Buffer {
  const name = Buffer.from(service)
  if (name.length >= 1 << 14) throw new Error('service name is too long')
  // A length takes seven bits a byte, the lowest first.
  const length = name.length < 128 ? [name.length] : [(name.length & 127) | 128, name.length >> 7]
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, ...length]), name])
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}
/** HealthCheckResponse{status = 1}; absent means 0. */
const statusOf = (body: Buffer): number => (body.length >= 7 && body[5] === 0x08 ? (body[6] ?? 0) : 0)

export async function probeGrpc(host: string, port: number, service: string, timeoutMs: number): Promise<Outcome> {
  // A megabyte in every node-agent, most of which never need it.
  const { connect } = await import('node:http2')
  const address = hostPort(host, port)
  return new Promise(resolve => {
    const session = connect(`http://${address}`)
    const end = (outcome: Outcome): void => {
      clearTimeout(timer)
      session.destroy()
      resolve(outcome)
    }
    const fail = (output: string): void => end({ result: 'failure', output })
    const within = durationText(timeoutMs)
    // Upstream tries again until its time is over; there is no need to wait for that.
    const notConnected = (): void => fail(`timeout: failed to connect service "${address}" within ${within}: context deadline exceeded`)
    let connected = false
    // Whoever speaks HTTP/2 begins with that.
    session.once('remoteSettings', () => (connected = true))
    const timer = setTimeout(() => (connected ? fail(`timeout: health rpc did not complete within ${within}`) : notConnected()), timeoutMs)
    session.on('error', e => (connected ? fail(`error: health rpc probe failed: ${e.message}`) : notConnected()))
    const stream = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': 'kube-probe/1.35',
    })
    let body = Buffer.alloc(0)
    let code = ''
    let message = ''
    const note = (headers: { 'grpc-status'?: unknown; 'grpc-message'?: unknown }): void => {
      if (headers['grpc-status'] !== undefined) code = String(headers['grpc-status'])
      if (headers['grpc-message'] !== undefined) message = String(headers['grpc-message'])
    }
    stream.on('response', note).on('trailers', note)
    stream.on('data', (data: Buffer) => {
      // The server is the container's: it may send what it likes.
      if ((body = Buffer.concat([body, data])).length <= maxAnswer) return
      const desc = `grpc: received message larger than max (${body.readUInt32BE(1)} vs. ${maxAnswer})`
      fail(`error: health rpc probe failed: rpc error: code = ResourceExhausted desc = ${desc}`)
    })
    stream.on('error', e => (connected ? fail(`error: health rpc probe failed: ${e.message}`) : notConnected()))
    stream.on('end', () => {
      if (code === '12') return fail(`error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${message}`)
      if (code !== '0') return fail(`error: health rpc probe failed: status ${code}`)
      const status = statuses[statusOf(body)] ?? 'UNKNOWN'
      return status === 'SERVING'
        ? end({ result: 'success', output: 'service healthy' })
        : fail(`service unhealthy (responded with "${status}")`)
    })
    stream.end(request(service))
  })
}
