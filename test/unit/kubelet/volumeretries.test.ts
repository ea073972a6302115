/** When volumes that failed are tried again and told of: upstream's exponentialbackoff, in numbers. */
import { expect, test } from 'vitest'
import { NotYetError, UnresolvedError } from '#node-agent/kubelet/volumes/plugin.ts'
import { failedAgain, isDue, type Failing } from '#node-agent/kubelet/volumes/retries.ts'

/** The waits, in seconds, of so many failures, each tried when it is due; and which were told, with the seconds at which. */
function failures(count: number, cause: Error): { waits: number[]; toldAt: number[] } {
  let failing: Failing | undefined
  let now = 0
  const waits: number[] = []
  const toldAt: number[] = []
  for (let n = 0; n < count; n++) {
    failing = failedAgain(failing, new Error('why', { cause }), 'shows', now)
    waits.push(failing.delayMs / 1000)
    if (failing.tell) toldAt.push(now / 1000)
    expect([isDue(failing, 'shows', failing.at - 1), isDue(failing, 'shows', failing.at)]).toEqual([false, true])
    now = failing.at
  }
  return { waits, toldAt }
}

test('a mount that fails waits for twice as long each time, two minutes and two seconds at most, and each try is told', () => {
  const { waits, toldAt } = failures(11, new Error('no such directory'))
  expect(waits).toEqual([0.5, 1, 2, 4, 8, 16, 32, 64, 122, 122, 122])
  expect(toldAt).toHaveLength(11)
})
test('a claim that is not bound is looked at every 10 s at least', () => {
  expect(failures(7, new UnresolvedError('PVC is not bound')).waits).toEqual([0.5, 1, 2, 4, 8, 10, 10])
})
test('what comes by itself is asked for every 5 s at least, and told when it has not come in two minutes, and again after as long', () => {
  const { waits, toldAt } = failures(60, new NotYetError('not attached'))
  expect(waits.slice(0, 6)).toEqual([0.5, 1, 2, 4, 5, 5])
  expect(toldAt).toEqual([127.5, 252.5])
})
test('what a volume refers to has changed: it is tried at once', () => {
  const failing = failedAgain(undefined, new Error('configmap "late" not found'), 'one', 0)
  expect([isDue(failing, 'one', 1), isDue(failing, 'two', 1), isDue(undefined, 'one', 1)]).toEqual([false, true, true])
})
