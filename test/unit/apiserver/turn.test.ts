/** Turns at being worked on: while one waits outside another request begins, and each is given back once, whatever happens meanwhile. */
import { expect, test } from 'vitest'
import { parseRequestInfo } from '#control-plane/apiserver/chain/requestinfo.ts'
import { currentTurn, Turn } from '#control-plane/apiserver/chain/turn.ts'
import { FlowControl, type Admitted } from '#control-plane/apiserver/flowcontrol/flowcontrol.ts'

const settled = () => new Promise(resolve => setImmediate(resolve))
/** As many of one level as are worked on at a time, and how to make one more. */
function fullHouse() {
  const flowControl = new FlowControl({ maxRequestsInflight: 400, maxMutatingRequestsInflight: 200 })
  const info = parseRequestInfo('POST', '/api/v1/namespaces/a/pods', new URLSearchParams())
  const flow = flowControl.classify({ name: 'system:serviceaccount:a:b', groups: ['system:serviceaccounts'] }, info)
  const { signal } = new AbortController()
  const turn = (): Turn => {
    const admitted = flowControl.enter(flow, 'create', 1, 0, 1000, { signal }) as Admitted
    return new Turn(flowControl, admitted, Infinity, { signal })
  }
  const working: Turn[] = []
  for (;;) {
    const next = turn()
    const begun = next.begin()
    if (begun) return { working, turn, waiting: { turn: next, begun } }
    working.push(next)
  }
}
const begins = async (begun: Promise<void> | undefined): Promise<boolean> => {
  let yes = begun === undefined
  void begun?.then(() => (yes = true))
  await settled()
  return yes
}

test('while one waits outside another begins; it goes on when there is room again', async () => {
  const { working, waiting } = fullHouse()
  const outside = Promise.withResolvers<void>()
  const went = working[0]!.aside(() => outside.promise)
  expect(await begins(waiting.begun)).toBe(true)
  outside.resolve()
  expect(await begins(went)).toBe(false)
  waiting.turn.over()
  expect(await begins(went)).toBe(true)
})

test('parts that wait at the same time give the turn back once', async () => {
  const { working, turn, waiting } = fullHouse()
  const outside = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const parts = outside.map(({ promise }) => working[0]!.aside(() => promise))
  expect(await begins(waiting.begun)).toBe(true)
  const another = turn().begin()
  expect(await begins(another)).toBe(false)
  outside[0]!.resolve()
  await parts[0]
  outside[1]!.resolve()
  expect(await begins(parts[1])).toBe(false)
  working[1]!.over()
  expect(await begins(another)).toBe(true)
  working[2]!.over()
  expect(await begins(parts[1])).toBe(true)
})

test('one that was given up while it waited outside leaves nothing behind', async () => {
  const { working, turn, waiting } = fullHouse()
  const outside = Promise.withResolvers<void>()
  const went = working[0]!.aside(() => outside.promise)
  expect(await begins(waiting.begun)).toBe(true)
  working[0]!.over()
  outside.resolve()
  await went
  // The room that it gave up was taken once.
  const next = turn().begin()
  expect(await begins(next)).toBe(false)
  working[1]!.over()
  expect(await begins(next)).toBe(true)
})

test('work knows its turn until it is over, also behind what it waits for', async () => {
  const { working } = fullHouse()
  const [turn] = working as [Turn]
  const seen = await turn.run(async () => {
    const first = currentTurn()
    await settled()
    const second = currentTurn()
    turn.over()
    return [first, second, currentTurn()]
  })
  expect(seen).toEqual([turn, turn, undefined])
  expect(currentTurn()).toBeUndefined()
})
