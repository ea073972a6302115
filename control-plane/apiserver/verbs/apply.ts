/** Server-side apply. */
import { StatusError } from '#shared/machinery/status.ts'
import type { Output } from '../handler/mediatype.ts'
import type { Answer } from '../handler/response.ts'
import { writeParameters } from '../rest/options.ts'
import type { Call } from './context.ts'

export async function apply(call: Call, _output: Output): Promise<Answer> {
  writeParameters(call.request.query, 'PatchOptions', true)
  throw new StatusError(415, 'UnsupportedMediaType', '415: Unsupported Media Type', {})
}
