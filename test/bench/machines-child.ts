/**
 * One end of the measurement of machines.ts, in a machine's namespace: `link` makes its VXLAN, `serve` listens until it is killed, `load`
 * measures.
 */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { setRoutes } from '#shared/linux/routes.ts'
import { raiseVxlan } from '#shared/linux/vxlan.ts'

export const sinkPort = 9001
export const helloPort = 9002
const [action, ...args] = process.argv.slice(2) as [string, ...string[]]

async function link([local, inside, range, peer]: string[]): Promise<void> {
  await raiseVxlan({ link: 'vxlan', id: 1, port: 8472, local: local!, address: inside! })
  await setRoutes(new Map([[range!, { via: peer!, vxlan: 'vxlan' }]]), { source: inside! }, 'vxlan')
}

async function serve(): Promise<void> {
  const sink = createServer(socket => void socket.resume().on('error', () => {})).listen(sinkPort, '0.0.0.0')
  const hello = createServer(socket => void socket.on('error', () => {}).end('hello')).listen(helloPort, '0.0.0.0')
  await Promise.all([once(sink, 'listening'), once(hello, 'listening')])
  process.stdout.write('ready\n')
}

async function load([host, seconds]: string[]): Promise<void> {
  const until = performance.now() + Number(seconds) * 1000
  const piece = Buffer.alloc(256 * 1024)
  const stream = async (): Promise<number> => {
    const socket = connect({ host: host!, port: sinkPort })
    await once(socket, 'connect')
    while (performance.now() < until) if (!socket.write(piece)) await once(socket, 'drain')
    const sent = socket.bytesWritten - socket.writableLength
    socket.destroy()
    return sent
  }
  const sent = (await Promise.all([stream(), stream()])).reduce((a, b) => a + b)
  const later = performance.now() + Number(seconds) * 1000
  let connections = 0
  const knock = async (): Promise<void> => {
    while (performance.now() < later) {
      const socket = connect({ host: host!, port: helloPort })
      socket.resume()
      await once(socket, 'close')
      connections++
    }
  }
  await Promise.all(Array.from({ length: 16 }, knock))
  process.stdout.write(JSON.stringify({ bytes: sent / Number(seconds), connections: connections / Number(seconds) }))
  process.exit(0)
}

if (action === 'link') await link(args)
else if (action === 'serve') await serve()
else await load(args)
