/** Works on names of APIServices as a queue gives them. */
import type { WorkQueue } from '#shared/client/workqueue.ts'

/** What becomes of a name that was worked on: nothing, again after so many ms, or again with a back-off. */
export type Next = undefined | number | 'back off'

/**
 * Works on each name by itself, so that one that is slow holds up no other, until the queue is shut down. One whose work fails is told to
 * `failed` and worked on again with a back-off.
 */
export async function workOn(
  queue: WorkQueue,
  work: (name: string) => Promise<Next>,
  failed: (name: string, e: Error) => void,
): Promise<void> {
  const one = async (name: string): Promise<void> => {
    const next = await work(name).catch((e: unknown): Next => {
      failed(name, e as Error)
      return 'back off'
    })
    if (next === 'back off') queue.addRateLimited(name)
    else {
      queue.forget(name)
      if (next !== undefined) queue.addAfter(name, next)
    }
    queue.done(name)
  }
  for (let name = await queue.next(); name !== undefined; name = await queue.next()) void one(name)
}
