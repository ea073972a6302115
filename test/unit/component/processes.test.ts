import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { killMarked, markedByPs, processStartTime, processUsage, processesMarked } from '#shared/component/processes.ts'

test('marked processes are found in whatever session, and all are killed', async () => {
  const entry = `COX_TEST_MARK=${process.pid}-${Math.random()}`
  const child = spawn('sh', ['-c', 'setsid sleep 4711 & sleep 4712 & echo up; wait'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { PATH: process.env['PATH'], [entry.split('=')[0]!]: entry.split('=')[1]! },
  })
  const ended = once(child, 'close')
  await expect.poll(() => processesMarked(entry).length).toBe(3)
  expect(processStartTime(child.pid!)).toBeGreaterThan(0)
  expect(processUsage(processesMarked(entry)).memoryBytes).toBeGreaterThan(0)
  await killMarked(entry)
  expect(processesMarked(entry)).toEqual([])
  await ended
  expect(processStartTime(child.pid!)).toBeUndefined()
})

test('where ps hides the environment of the system’s programs, families are followed', () => {
  const listing = `
    1     0     1 Ss   /sbin/launchd
   10     1    10 Ss   /usr/local/bin/node shim.js A=b MARK=x HOME=/
   11    10    11 Ss   /bin/sh -c sleep
   12    11    11 S    /bin/sleep 5
   13     1    11 S    /bin/sleep 6
   14    11    11 Z    (sleep)
   20     1    20 Ss   /usr/local/bin/node other.js MARK=xy
   21    20    20 S    /bin/sleep 7
`
  expect(markedByPs(listing, 'MARK=x').sort()).toEqual([10, 11, 12, 13])
})
