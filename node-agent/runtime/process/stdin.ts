/** Writing to a container's standard input, through the socket of its shim. */
import { spawn } from 'node:child_process'
import { feed } from '../relay.ts'

/** A process of its own, because the path of a socket may have 104 bytes only: it starts in the directory. */
const RELAY = `const socket = require('node:net').connect({ path: 'attach', allowHalfOpen: true })
socket.on('error', e => { process.stderr.write(e.message); process.exit(1) })
socket.on('close', () => process.exit(0)).resume()
process.stdin.pipe(socket)`

/** Sends `data` until it ends. Ends early, without an error, when the container does. */
export async function writeToShim(directory: string, data: AsyncIterable<Uint8Array>): Promise<void> {
  const child = spawn(process.execPath, ['--max-semi-space-size=1', '-e', RELAY], { cwd: directory, stdio: ['pipe', 'ignore', 'pipe'] })
  await feed(child, data)
}
