/**
 * The running HAProxy: its files, reloads by its master process, and its servers' addresses by the runtime API (management guide, 9.3 and
 * 9.4).
 */
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { run } from '#shared/linux/run.ts'

const deadlineMs = 10_000
/** How much of an answer is read, bytes: a thousand backends with their servers take a few hundred kilobytes. */
const maxAnswer = 16 * 1024 * 1024

/** Asks by a socket; resolves with the answer when the other side has closed. */
function ask(socketFile: string, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketFile)
    let text = ''
    socket.setTimeout(deadlineMs, () => socket.destroy(new Error(`HAProxy does not answer within ${deadlineMs} ms`)))
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => {
      text += chunk
      if (text.length > maxAnswer) socket.destroy(new Error('HAProxy says too much'))
    })
    socket.once('error', reject)
    socket.once('close', () => resolve(text))
    socket.end(`${command}\n`)
  })
}

/** Replaces the files that differ; removes certificates that are not used any more. */
export async function writeFiles(dir: string, texts: ReadonlyMap<string, string>): Promise<void> {
  await mkdir(path.join(dir, 'certs'), { recursive: true })
  for (const [name, text] of texts) {
    const file = path.join(dir, name)
    if ((await readFile(file, 'utf8').catch(() => undefined)) === text) continue
    await writeFile(`${file}.new`, text, { mode: 0o600 })
    await rename(`${file}.new`, file)
  }
  for (const name of await readdir(path.join(dir, 'certs')))
    if (name !== 'default.pem' && !texts.has(`certs/${name}`)) await rm(path.join(dir, 'certs', name), { force: true })
}

/** Rejects with HAProxy's words when it would not start with its files. */
export const check = (dir: string): Promise<string> =>
  run('haproxy', ['-c', '-q', '-f', path.join(dir, 'haproxy.cfg')], { timeoutMs: 60_000 })

const masterSocket = (dir: string): string => path.join(dir, 'master.sock')

/** How often the master has been reloaded; undefined when there is none. */
async function reloads(dir: string): Promise<number | undefined> {
  const text = await ask(masterSocket(dir), 'show proc').catch(() => '')
  const count = /^\d+\s+master\s+(\d+)/m.exec(text)?.[1]
  return count === undefined ? undefined : Number(count)
}

/**
 * Whether the worker of before may still take connections: it is told to end, and on a busy machine hears of it later than others of the
 * new one.
 */
async function takesConnections(dir: string, processes: string): Promise<boolean> {
  const former = [...processes.matchAll(/^(\d+)\s+worker\s+1\s/gm)].map(([, pid]) => pid)
  const infos = await Promise.all(former.map(pid => ask(masterSocket(dir), `@!${pid} show info`).catch(() => '')))
  return infos.some(info => /^Stopping: 0$/m.test(info))
}

/**
 * Has a new worker take over the listening sockets with what the files say now, while the old one ends what it is doing. Resolves when the
 * new one alone takes connections, or at once when nothing runs yet: it will read the files.
 */
export async function reload(dir: string): Promise<void> {
  const before = await reloads(dir)
  if (before === undefined) return
  await ask(masterSocket(dir), 'reload').catch(() => '')
  const since = performance.now()
  for (;;) {
    const text = await ask(masterSocket(dir), 'show proc').catch(() => '')
    const count = Number(/^\d+\s+master\s+(\d+)/m.exec(text)?.[1] ?? before)
    if (count > before && /^\d+\s+worker\s+0\s/m.test(text) && !(await takesConnections(dir, text))) return
    // Asked again and again: nobody tells.
    if (performance.now() - since > 3 * deadlineMs) throw new Error('HAProxy has not reloaded')
    await delay(20)
  }
}

export interface SlotChange {
  backend: string
  /** From 1. */
  slot: number
  /** `address:port`; '' for nobody. */
  at: string
}
/** Tells the workers where servers are now. False when HAProxy is not there, which reads its files when it comes. */
export async function setServers(dir: string, changes: readonly SlotChange[]): Promise<boolean> {
  const chunk = 100
  for (let from = 0; from < changes.length; from += chunk) {
    const commands = changes.slice(from, from + chunk).flatMap(({ backend, slot, at }) => {
      const server = `${backend}/s${slot}`
      if (at === '') return [`set server ${server} state maint`]
      const [address, port] = at.split(':')
      return [`set server ${server} addr ${address} port ${port}`, `set server ${server} state ready`]
    })
    try {
      const answer = await ask(path.join(dir, 'admin.sock'), commands.join('; '))
      if (/No such (backend|server)|Unknown command|Invalid/i.test(answer)) throw new Error(`HAProxy: ${answer.trim().slice(0, 500)}`)
    } catch (e) {
      if (['ENOENT', 'ECONNREFUSED'].includes((e as NodeJS.ErrnoException).code ?? '')) return false
      throw e
    }
  }
  return true
}
