/**
 * image-puller: the process that gets images for a node-agent, which asks it by messages: downloads and unpacking neither hold up what else
 * a node does nor leave it large. Ends with the node-agent.
 */
import { parseFlags } from '#shared/component/flags.ts'
import * as z from 'zod'
import { ImageError } from '../runtime/imageservice.ts'
import { openImageStore } from '../runtime/images/imagestore.ts'
import { parseReference } from '../runtime/images/reference.ts'
import type { Answer, Order } from './puller.ts'
import { pullImage } from './pull.ts'
import { readRegistries } from './registries.ts'

const options = parseFlags('image-puller', z.object({ store: z.string(), registries: z.string().optional() }))
const opening = openImageStore(options.store)
const underWay = new Map<number, AbortController>()

/** With each of the credentials until one is good, as upstream's kubelet. */
async function work({ id, image, credentials }: Extract<Order, { image: string }>, signal: AbortSignal): Promise<Answer> {
  const errors: ImageError[] = []
  try {
    const reference = parseReference(image)
    // Read each time: what was changed counts.
    const registries = readRegistries(options.registries)
    const store = await opening
    for (const [n, one] of credentials.length === 0 ? [[undefined, undefined] as const] : credentials.entries()) {
      try {
        await pullImage(reference, { store, registries, credentials: one, signal })
        return { id, credential: n }
      } catch (error) {
        if (!(error instanceof ImageError)) throw error
        errors.push(error)
        if (error.reason === 'RegistryUnavailable') break
      }
    }
    const [first] = errors
    const messages = [...new Set(errors.map(e => e.message))]
    return { id, message: messages.length === 1 ? messages[0]! : `[${messages.join(', ')}]`, reason: first!.reason }
  } catch (error) {
    return { id, message: (error as Error).message, reason: error instanceof ImageError ? error.reason : 'ErrImagePull' }
  }
}

process.on('message', (order: Order) => {
  if (!('image' in order)) return underWay.get(order.id)?.abort(new Error('context canceled'))
  const stop = new AbortController()
  underWay.set(order.id, stop)
  void work(order, stop.signal).then(answer => {
    underWay.delete(order.id)
    if (process.connected) process.send!(answer)
  })
})
process.on('disconnect', () => process.exit(0))
