import { expect, test } from 'vitest'
import { batched } from '#node-agent/network/batch.ts'

test('what comes while a batch is under way goes together in the next, one batch at a time', async () => {
  const batches: number[][] = []
  const ends: (() => void)[] = []
  const add = batched<number>(items => {
    batches.push(items)
    return new Promise(resolve => ends.push(resolve))
  })
  const first = [add(1), add(2)]
  await Promise.resolve()
  const second = [add(3), add(4)]
  expect(batches).toEqual([[1, 2]])
  ends[0]!()
  await Promise.all(first)
  await expect
    .poll(() => batches)
    .toEqual([
      [1, 2],
      [3, 4],
    ])
  ends[1]!()
  await Promise.all(second)
})

test('a batch that fails fails each of its items, not the next', async () => {
  const add = batched<string>(items => (items.includes('bad') ? Promise.reject(new Error('no')) : Promise.resolve()))
  await expect(Promise.allSettled([add('bad'), add('with it')])).resolves.toMatchObject([{ status: 'rejected' }, { status: 'rejected' }])
  await add('good')
})
