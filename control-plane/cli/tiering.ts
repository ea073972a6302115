/**
 * V8's compilers, where Node was started without them (`withoutCompilers`; cox.sh): what they would make of a start is run again by nobody,
 * and their own pages are 8 MB of a process that uses them.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { setFlagsFromString } from 'node:v8'

const compilers = ['opt', 'maglev', 'sparkplug']
export const withoutCompilers: readonly string[] = compilers.map(compiler => `--no-${compiler}`)

/** What Node tells of requests that servers get, of HTTP/1.1 and HTTP/2. */
const channels = ['http.server.request.start', 'http2.server.stream.start']

/** Functions are compiled from the time on when the servers of this process have got so many requests. */
export function compileAfter(requests: number): void {
  let left = requests
  const count = (): void => {
    if (--left > 0) return
    for (const channel of channels) unsubscribe(channel, count)
    for (const compiler of compilers) setFlagsFromString(`--${compiler}`)
  }
  for (const channel of channels) subscribe(channel, count)
}

/** Requests that an API server for tests answers before: a test that asks for no more is over before it pays. */
export const testRequests = 300
