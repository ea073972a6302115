/** node-init, PID 1 of a node, with a small script in the node-agent's place. */
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

const INIT = fileURLToPath(new URL('../../../node-agent/init.sh', import.meta.url))
let directory: string
let node: ChildProcess
let exited: Promise<number | null>

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cox-init-'))
  // Notes its start, leaves an orphan behind that ends at once and one that stays, and waits to be told to stop.
  const agent = `echo $$ >> starts; (sh -c 'sleep 0.01; exit 3' & ) ; (setsid sleep 9871 & ); ls /run > run; trap 'echo stopped > stopped; exit 0' PWR; while :; do sleep 0.02; done`
  writeFileSync(join(directory, 'agent.sh'), agent)
  node = spawn(
    'unshare',
    [
      '--pid',
      '--fork',
      '--kill-child',
      '--mount',
      '--net',
      '--uts',
      '--ipc',
      '--mount-proc',
      'sh',
      INIT,
      'sh',
      join(directory, 'agent.sh'),
    ],
    { cwd: directory, stdio: 'ignore' },
  )
  exited = new Promise(resolve => node.on('exit', code => resolve(code)))
})
afterEach(() => {
  node.kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
})

const lines = (name: string): string[] =>
  existsSync(join(directory, name)) ? readFileSync(join(directory, name), 'utf8').trim().split('\n') : []
const initPid = (): number => Number(readFileSync(`/proc/${node.pid}/task/${node.pid}/children`, 'utf8').trim().split(' ')[0])
/** The node's processes as the machine sees them: those in init's PID namespace. */
function inside(): { pid: number; state: string; command: string; inner: number }[] {
  let namespace: string
  try {
    namespace = readlink(initPid())
  } catch {
    return []
  }
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .flatMap(name => {
      try {
        if (readlink(Number(name)) !== namespace) return []
        const status = readFileSync(`/proc/${name}/status`, 'utf8')
        return [
          {
            pid: Number(name),
            state: /State:\s+(\S)/.exec(status)![1]!,
            command: readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' '),
            inner: Number(/NSpid:.*\s(\d+)$/m.exec(status)![1]),
          },
        ]
      } catch {
        return []
      }
    })
}
const readlink = (pid: number): string => readlinkSync(`/proc/${pid}/ns/pid`)

test('starts the agent again when it dies, keeps its children, reaps orphans, has a /run of its own', async () => {
  await vi.waitFor(() => expect(lines('run')).toEqual(['lock', 'netns']), 5000)
  await vi.waitFor(() => expect(inside().filter(p => p.command.startsWith('sleep 9871'))).toHaveLength(1), 5000)
  const agent = inside().find(p => p.command.includes('agent.sh') && p.inner !== 1)!
  process.kill(agent.pid, 'SIGKILL')
  await vi.waitFor(() => expect(lines('starts')).toHaveLength(2), 5000)
  await vi.waitFor(() => expect(inside().filter(p => p.command.startsWith('sleep 9871'))).toHaveLength(2), 5000)
  await vi.waitFor(() => expect(inside().filter(p => p.state === 'Z')).toEqual([]), 5000)
})

test('TERM tells the agent that the node goes down, then stops everything', async () => {
  await vi.waitFor(() => expect(inside().some(p => p.command.startsWith('sleep 9871'))).toBe(true), 5000)
  const pids = inside().map(p => p.pid)
  process.kill(initPid(), 'SIGTERM')
  expect(await exited).toBe(0)
  expect(lines('stopped')).toEqual(['stopped'])
  expect(pids.filter(pid => existsSync(`/proc/${pid}`))).toEqual([])
})

test('KILL takes everything down', async () => {
  await vi.waitFor(() => expect(inside().some(p => p.command.startsWith('sleep 9871'))).toBe(true), 5000)
  const pids = inside().map(p => p.pid)
  process.kill(initPid(), 'SIGKILL')
  await exited
  await vi.waitFor(() => expect(pids.filter(pid => existsSync(`/proc/${pid}`))).toEqual([]), 5000)
})
