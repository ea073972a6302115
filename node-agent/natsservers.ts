/**
 * Where the nats-servers are by now: one may have moved to another machine since this one joined. They say so, and it is kept for the next
 * start.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BusConnection } from '#shared/bus/connection.ts'
import type { Logger } from '#shared/component/log.ts'

const fileIn = (rootDir: string): string => join(rootDir, 'nats-servers')
const address = /^[\d.]+:\d+$/
/** A cluster has three at most. */
const most = 9

/** `url`, and what nats-servers have said before; what is damaged counts for nothing. */
export function knownServers(url: string, rootDir: string): string {
  let kept: string[] = []
  try {
    kept = readFileSync(fileIn(rootDir), 'utf8')
      .split('\n')
      .filter(line => address.test(line))
  } catch {
    // Nothing was said yet.
  }
  return [...new Set([...url.split(','), ...kept.slice(0, most).map(at => `nats://${at}`)])].join(',')
}

/** Keeps what the nats-servers say, as long as the connection lasts. */
export async function noteServers({ nats }: BusConnection, rootDir: string, log: Logger): Promise<void> {
  let noted = ''
  const note = (): void => {
    const text = [...(nats.info?.connect_urls ?? [])]
      .filter(at => address.test(at))
      .sort()
      .slice(0, most)
      .join('\n')
    if (text === noted || text === '') return
    noted = text
    try {
      writeFileSync(fileIn(rootDir), `${text}\n`)
    } catch (e) {
      log.warn({ err: (e as Error).message }, 'where nats-servers are is not noted')
    }
  }
  note()
  for await (const { type } of nats.status()) if (type === 'update' || type === 'reconnect') note()
}
