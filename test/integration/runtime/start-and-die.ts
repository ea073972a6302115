/** Starts a container, prints its pid and is killed: a node-agent that crashes. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { containerSpec, node, openRuntime } from './containers.ts'

const runtime = await openRuntime()
const volume = join(node.directory, 'orphan-volume')
mkdirSync(volume)
const script = 'echo before; while ! test -e /v/go; do sleep 0.02; done; echo after; exit 6'
const { pid } = await runtime.start(containerSpec('orphan', ['sh', '-c', script], { mounts: [{ destination: '/v', source: volume, readOnly: false, propagation: 'private' }] }))
process.stdout.write(`${pid}\n`, () => process.kill(process.pid, 'SIGKILL'))
