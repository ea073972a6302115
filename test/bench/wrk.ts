/** Load over HTTP from wrk, which costs little beside what it measures. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { execa } from 'execa'

export interface Load {
  url: string
  connections: number
  seconds: number
  headers?: Record<string, string>
  /** Posts this instead of getting; `%NAME%` in it becomes another name each time. */
  body?: string
  /** Makes the names of this load unlike those of others. */
  prefix?: string
  /** A command that runs wrk somewhere else: `nsenter -t 1 -n`. */
  within?: readonly string[]
}

export interface LoadResult {
  perSecond: number
  megabytesPerSecond: number
  /** Milliseconds. */
  p50: number
  p99: number
}

const quote = (text: string): string => `"${text.replace(/[\\"\n]/g, c => (c === '\n' ? '\\n' : `\\${c}`))}"`

/** The Lua that makes requests and prints what wrk counted as JSON. */
function script({ headers = {}, body, prefix = 'x' }: Load): string {
  const parts = (body ?? '').split('%NAME%').map(quote)
  return [
    ...Object.entries(headers).map(([name, value]) => `wrk.headers[${quote(name)}] = ${quote(value)}`),
    ...(body === undefined
      ? []
      : [
          'wrk.method = "POST"',
          'wrk.headers["Content-Type"] = "application/json"',
          'local n = 0',
          `request = function() n = n + 1 local name = ${quote(prefix)} .. n return wrk.format(nil, nil, nil, ${parts.join(' .. name .. ')}) end`,
        ]),
    'done = function(s, l, r)',
    '  local e = s.errors',
    '  io.write(string.format(\'\\n{"requests":%d,"us":%d,"bytes":%d,"failed":%d,"p50":%d,"p99":%d}\\n\', s.requests, s.duration, s.bytes, e.status + e.connect + e.read + e.write + e.timeout, l:percentile(50), l:percentile(99)))',
    'end',
  ].join('\n')
}

/** Runs the load from one thread; rejects when more than one request in a hundred failed. */
export async function wrk(load: Load): Promise<LoadResult> {
  const dir = await mkdtemp(path.join(tmpdir(), 'cox-bench-wrk-'))
  try {
    const file = path.join(dir, 'load.lua')
    // The script carries a token.
    await writeFile(file, script(load), { mode: 0o600 })
    const [command = 'wrk', ...args] = [
      ...(load.within ?? []),
      'wrk',
      '-t',
      '1',
      '-c',
      String(load.connections),
      '-d',
      `${load.seconds}s`,
      '--timeout',
      '10s',
      '-s',
      file,
      load.url,
    ]
    const { stdout } = await execa(command, args, { timeout: load.seconds * 1000 + 60_000, stdin: 'ignore' })
    const counted = JSON.parse(stdout.slice(stdout.lastIndexOf('\n{'))) as {
      requests: number
      us: number
      bytes: number
      failed: number
      p50: number
      p99: number
    }
    if (counted.requests === 0 || counted.failed > counted.requests / 100)
      throw new Error(`${load.url}: ${counted.failed} requests failed, ${counted.requests} were answered in ${load.seconds} s`)
    const seconds = counted.us / 1e6
    return {
      perSecond: counted.requests / seconds,
      megabytesPerSecond: counted.bytes / seconds / 1e6,
      p50: counted.p50 / 1000,
      p99: counted.p99 / 1000,
    }
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
