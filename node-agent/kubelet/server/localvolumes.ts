/**
 * /localVolumes: what the controller manager's local provisioner asks of a node. GET lists, PUT
 * /localVolumes/NAME?capacity=BYTES&form=directory makes, DELETE /localVolumes/NAME removes.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { badRequest, StatusError } from '#shared/machinery/status.ts'
import { forms, type LocalVolumes } from '../volumes/localvolumes.ts'
import { json, text } from './requests.ts'

export async function serveLocalVolumes(
  volumes: LocalVolumes,
  [name, ...more]: readonly string[],
  url: URL,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  if (more.length > 0) return text(res, 404, '404 page not found\n')
  try {
    if (name === undefined)
      return req.method === 'GET' ? json(res, { volumes: await volumes.list() }) : text(res, 405, 'Method Not Allowed\n')
    if (req.method === 'PUT') {
      const { searchParams: query } = url
      const form = forms.find(f => f === query.get('form'))
      if (!form) throw badRequest(`invalid form of a volume: ${JSON.stringify(query.get('form'))}`)
      return json(res, await volumes.create(name, Number(query.get('capacity') ?? NaN), form))
    }
    if (req.method !== 'DELETE') return text(res, 405, 'Method Not Allowed\n')
    await volumes.remove(name)
    json(res, {})
  } catch (e) {
    const { status } = e instanceof StatusError ? e : new StatusError(500, 'InternalError', (e as Error).message)
    json(res, status, status.code)
  }
}
