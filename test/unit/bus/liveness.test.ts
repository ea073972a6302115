import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Servers } from '#shared/bus/liveness.ts'

beforeEach(() => vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => vi.useRealTimers())

const used = new Set(['a'])
function asked() {
  const [questions, lost]: [string[], string[]] = [[], []]
  const servers = new Servers(
    id => questions.push(id),
    (id, why) => lost.push(`${id}: ${why}`),
  )
  servers.hear('a')
  vi.advanceTimersByTime(1_000)
  servers.check(used, false)
  expect(questions).toEqual(['a'])
  return { servers, lost }
}
const checks = (servers: Servers, n: number): void => {
  for (let i = 0; i < n; i++) {
    vi.advanceTimersByTime(250)
    servers.check(used, false)
  }
}

it('a server that leaves questions unanswered is lost after six seconds', () => {
  const { servers, lost } = asked()
  checks(servers, 24)
  expect(lost).toEqual([])
  checks(servers, 1)
  expect(lost).toEqual(['a: the API server is silent'])
})

it('what a server sends says that it lives, though it has not answered', () => {
  const { servers, lost } = asked()
  checks(servers, 20)
  servers.hear('a')
  checks(servers, 24)
  expect(lost).toEqual([])
})

it('a pause of the own process is not silence of the server', () => {
  const { servers, lost } = asked()
  vi.advanceTimersByTime(60_000)
  checks(servers, 1)
  expect(lost).toEqual([])
  expect(servers.answered('a', 1_000)).toBe(true)
  checks(servers, 20)
  expect(lost).toEqual([])
})
