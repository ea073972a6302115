/** The event loop's time: slices of lines by what each has had, few in a turn, and whoever pauses stands in line again. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { newLine, RunQueue, stage, type Line } from '#control-plane/apiserver/chain/runqueue.ts'
import { atEndOfTurn } from '#shared/bus/endofturn.ts'

let time = 0
/** Takes so much of a time that nothing else moves, ms. */
const compute = (ms: number): void => void (time += ms)
const newQueue = () => new RunQueue(() => time)
/** Lets `n` slices of `ms` each stand in a line; they note its name. */
function fill(runs: RunQueue, line: Line, name: string, n: number, ms: number, done: string[]): void {
  for (let i = 0; i < n; i++)
    runs.add(line, () => {
      compute(ms)
      done.push(name)
    })
}
const count = (done: readonly string[], name: string): number => done.filter(d => d === name).length

test('one that has had less goes first, however much others have to do', async () => {
  const runs = newQueue()
  const [busy, quiet] = [newLine(), newLine()]
  const done: string[] = []
  fill(runs, busy, 'busy', 40, 1, done)
  while (done.length < 10) await nextTurn()
  const before = done.length
  fill(runs, quiet, 'quiet', 1, 0, done)
  while (count(done, 'quiet') === 0) await nextTurn()
  expect(done.indexOf('quiet')).toBe(before)
  while (done.length < 41) await nextTurn()
})

test('two that are busy have the time by their weights; what a line did not need it has not saved', async () => {
  const runs = newQueue()
  const [heavy, light] = [newLine(3), newLine(1)]
  const done: string[] = []
  fill(runs, light, 'light', 20, 1, done)
  while (done.length < 20) await nextTurn()
  fill(runs, light, 'light', 200, 1, done)
  fill(runs, heavy, 'heavy', 200, 1, done)
  while (done.length < 120) await nextTurn()
  const since = done.slice(20, 120)
  expect(count(since, 'heavy') / count(since, 'light')).toBeCloseTo(3, 0)
})

test('the loop has its turn between slices, and what waits for the end of a turn is done in it', async () => {
  const runs = newQueue()
  const done: string[] = []
  fill(runs, newLine(), 'slice', 8, 3, done)
  const ends: number[] = []
  runs.add(newLine(), () => atEndOfTurn(() => ends.push(done.length)))
  await nextTurn()
  await nextTurn()
  expect(done.length).toBeLessThan(8)
  expect(ends).toHaveLength(1)
  while (done.length < 8) await nextTurn()
})

/** Work in stages; each notes the name when it has come so far. */
const staged =
  (name: string, stages: number, done: string[], ms = 0) =>
  (): void => {
    void (async () => {
      for (let i = 1; i <= stages; i++) {
        compute(ms)
        done.push(`${name}${i}`)
        await stage
      }
    })()
  }

test('slices that are begun together go on in step; the next are begun when all that follows from them is done', async () => {
  const runs = newQueue()
  const line = newLine()
  const done: string[] = []
  for (let i = 0; i < 17; i++) runs.add(line, staged(i < 16 ? 'a' : 'b', 3, done))
  while (done.length < 51) await nextTurn()
  const times = (name: string, n: number): string[] => Array.from({ length: n }, () => name)
  expect(done).toEqual([...times('a1', 16), ...times('a2', 16), ...times('a3', 16), 'b1', 'b2', 'b3'])
})

test('of slices that take long few are begun together, and again more when they are short', async () => {
  const runs = newQueue()
  const line = newLine()
  const done: string[] = []
  for (let i = 0; i < 40; i++) runs.add(line, staged('long', 2, done, 5))
  while (done.length < 80) await nextTurn()
  // Two are expected to take more than two turns of the loop.
  expect(done.slice(-20)).toEqual(Array.from({ length: 20 }, (_, i) => `long${1 + (i % 2)}`))
  done.length = 0
  for (let i = 0; i < 600; i++) runs.add(line, staged('short', 2, done, 0.1))
  while (done.length < 1200) await nextTurn()
  expect(done.slice(-9)).toEqual(Array.from({ length: 9 }, () => 'short2'))
})

test('one that shares its time with slices of others has no more than its own', async () => {
  const runs = newQueue()
  const [busy, quiet] = [newLine(), newLine()]
  const done: string[] = []
  for (let i = 0; i < 200; i++) runs.add(busy, staged('busy', 2, done, 0.25))
  for (let i = 0; i < 10; i++) runs.add(quiet, staged('quiet', 2, done, 0.25))
  while (done.length < 420) await nextTurn()
  expect(done.lastIndexOf('quiet2')).toBeLessThan(100)
})

test('work goes on while its slice is short, and stands behind others when it is long', async () => {
  const runs = newQueue()
  const [mine, other] = [newLine(), newLine()]
  const done: string[] = []
  const work = async (): Promise<void> => {
    expect(runs.pause(mine)).toBeUndefined()
    compute(2)
    const pause = runs.pause(mine)
    expect(pause).toBeInstanceOf(Promise)
    await pause
    done.push('mine')
  }
  runs.add(mine, () => void work())
  runs.add(other, () => void done.push('other'))
  while (done.length < 2) await nextTurn()
  expect(done).toEqual(['other', 'mine'])
  // Outside of a slice nobody computes for long.
  expect(runs.pause(mine)).toBeInstanceOf(Promise)
})

test('another line begins at once within a slice, when nobody is to go before it', async () => {
  const runs = newQueue()
  const [arriving, level, behind] = [newLine(), newLine(), newLine()]
  const begun: unknown[] = []
  runs.add(arriving, () => void begun.push(runs.begin(level)))
  await nextTurn()
  await nextTurn()
  expect(begun).toEqual([undefined])
  runs.add(arriving, () => {
    compute(1)
    begun.push(runs.begin(arriving))
  })
  fill(runs, behind, '', 1, 0, [])
  await nextTurn()
  await nextTurn()
  expect(begun[1]).toBeInstanceOf(Promise)
})

test('when nobody has work a line begins at once, others with it until the turn is over; who had least goes on', async () => {
  const runs = newQueue()
  const [one, other] = [newLine(), newLine()]
  const done: string[] = []
  const request = new AsyncLocalStorage<string>()
  const seen: unknown[] = []
  request.run('somebody', () => {
    expect(runs.begin(one)).toBeUndefined()
    expect(runs.begin(one)).toBeUndefined()
    expect(runs.begin(other)).toBeUndefined()
    runs.add(other, () => {
      seen.push(request.getStore())
      done.push('added')
    })
    compute(9)
    void runs.begin(one)!.then(() => done.push('late'))
    done.push('begun')
  })
  while (done.length < 3) await nextTurn()
  expect(done).toEqual(['begun', 'late', 'added'])
  expect(seen).toEqual([undefined])
  // The queue has come to rest.
  expect(runs.begin(one)).toBeUndefined()
})

test('slices are not done within the request that added the first', async () => {
  const runs = newQueue()
  const request = new AsyncLocalStorage<string>()
  const seen: unknown[] = []
  request.run('somebody', () => runs.add(newLine(), () => void seen.push(request.getStore())))
  while (seen.length === 0) await nextTurn()
  expect(seen).toEqual([undefined])
})
