/** Ports for servers. */
import { createServer } from 'node:net'

/** The port when it is free on loopback and not taken otherwise, else any free one. */
export async function freePort(wanted: number, taken: ReadonlySet<number>): Promise<number> {
  const tryPort = (port: number) =>
    new Promise<number | undefined>(resolve => {
      const server = createServer()
      server.once('error', () => resolve(undefined))
      server.listen(port, '127.0.0.1', () => {
        const { port: got } = server.address() as { port: number }
        server.close(() => resolve(got))
      })
    })
  return (taken.has(wanted) ? undefined : await tryPort(wanted)) ?? (await tryPort(0)) ?? wanted
}
