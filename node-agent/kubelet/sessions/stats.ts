/** stats: the kubelet's summary (/stats/summary), one JSON document on channel 1. */
import { Buffer } from 'node:buffer'
import * as z from 'zod'
import { Channel, type Session } from '#shared/bus/session.ts'
import type { Status } from '#shared/machinery/status.ts'
import type { Sampler } from '../stats/sampler.ts'
import { success } from './result.ts'
import { readOpen } from './target.ts'

const schema = z.object({ onlyCPUAndMemory: z.boolean().optional() })

export async function stats(sampler: Sampler, session: Session): Promise<Status> {
  const { onlyCPUAndMemory = false } = readOpen(schema, session.open ?? {})
  await session.send(Channel.stdout, Buffer.from(JSON.stringify(await sampler.summary(!onlyCPUAndMemory))))
  return success
}
