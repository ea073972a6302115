import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { newIdentity, untilEnded } from '#shared/component/instance.ts'

const module = new URL('../../../shared/component/instance.ts', import.meta.url).href
const never = new AbortController().signal

test('the end of a process is seen however it comes, and not before', async () => {
  const program = `const { newIdentity } = await import('${module}'); process.send(await newIdentity('other')); setInterval(() => {}, 1e6)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  try {
    const [identity] = (await once(child, 'message')) as [string]
    expect(identity).toMatch(/^other_[0-9a-f]{16}-[0-9a-f-]{36}$/)
    const seen: string[] = []
    const ended = untilEnded(identity, never).then(is => seen.push(`ended: ${is}`))
    child.kill('SIGSTOP')
    const enough = new AbortController()
    const stopped = untilEnded(identity, enough.signal)
    // Nobody ever listened there: that is seen at once.
    expect(await untilEnded(identity.slice(0, -1) + 'x', never)).toBe(true)
    enough.abort()
    expect(await stopped).toBe(false)
    expect(seen).toEqual([])
    child.kill('SIGKILL')
    await ended
    expect(seen).toEqual(['ended: true'])
  } finally {
    child.kill('SIGKILL')
  }
})

test('of a process elsewhere, or that does not say where it is, nothing is known', async () => {
  const own = await newIdentity('a')
  expect(await untilEnded(own.replace(/_[0-9a-f]{16}-/, '_0123456789abcdef-'), never)).toBe(false)
  expect(await untilEnded('a_7f6e1f4e-90a4-4f8e-a7a9-2b1c1c9d9a10', never)).toBe(false)
  expect(await untilEnded('a', never)).toBe(false)
})

test('a process with more watchers than it takes is not taken for dead', async () => {
  const own = await newIdentity('a')
  const enough = new AbortController()
  const watchers = Array.from({ length: 100 }, () => untilEnded(own, enough.signal))
  expect(await untilEnded(`${own}x`, never)).toBe(true)
  enough.abort()
  expect(new Set(await Promise.all(watchers))).toEqual(new Set([false]))
})
