/**
 * /csi/DRIVER/SERVICE/METHOD: what the controller manager asks of a CSI driver, handed to the driver's socket on this node; POST, with the
 * message in Base64. Only services that controllers call: those of the node are the kubelet's own.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import * as z from 'zod'
import { RpcError } from '#shared/grpc/rpc.ts'
import type { CsiDriver, CsiDrivers } from '../csi/drivers.ts'
import { text } from './requests.ts'

const services = new Set(['csi.v1.Identity', 'csi.v1.Controller', 'csi.v1.GroupController'])
const question = z.object({ question: z.base64(), timeoutMs: z.number().int().min(1).max(120_000) })
const maxBytes = 1 << 20

export async function serveCsi(
  drivers: CsiDrivers,
  [name = '', service = '', method = '', ...more]: readonly string[],
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  if (more.length > 0 || !services.has(service) || !/^\w+$/.test(method)) return text(res, 404, '404 page not found\n')
  if (req.method !== 'POST') return text(res, 405, 'Method Not Allowed\n')
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of req as AsyncIterable<Buffer>) {
    if ((bytes += part.length) > maxBytes) return text(res, 413, 'Request Entity Too Large\n')
    parts.push(part)
  }
  const asked = question.safeParse(parsed(Buffer.concat(parts).toString()))
  if (!asked.success) return text(res, 400, '400 Bad Request\n')
  let driver: CsiDriver
  try {
    driver = drivers.get(name)
  } catch (e) {
    return text(res, 404, `${(e as Error).message}\n`)
  }
  const answer = await driver.callRaw(`/${service}/${method}`, Buffer.from(asked.data.question, 'base64'), asked.data.timeoutMs).then(
    data => ({ answer: data.toString('base64') }),
    (e: unknown) => (e instanceof RpcError ? { code: e.code, details: e.details } : Promise.reject(e)),
  )
  text(res, 200, JSON.stringify(answer), 'application/json')
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}
