/**
 * Starts a container, prints its pid and is killed: a node-agent that crashes. Arguments: the container's id, and where in the start it
 * dies: `creating` (a moment ago it asked for the container), `waiting` (the process only waits to be let go), `removing` (it takes such a
 * container away and has ended all of it) or `started`.
 */
import childProcess from 'node:child_process'
import { mkdirSync } from 'node:fs'
import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { basename, join } from 'node:path'
import { containerSpec, directoryOf, node, openRuntime } from './containers.ts'

const [id = '', point = 'started'] = process.argv.slice(2)
const die = (): boolean => process.kill(process.pid, 'SIGKILL')
const { rename, rm } = fs
const { spawn } = childProcess
if (point === 'creating')
  childProcess.spawn = ((...args: Parameters<typeof spawn>) =>
    [spawn(...args), basename(args[0]) === 'unshare' && die()][0]) as typeof spawn
if (point === 'waiting') fs.rename = async (from, to) => [await rename(from, to), basename(String(to)) === 'process' && die()][0] as void
if (point === 'removing') fs.rm = async (path, options) => (basename(String(path)) === id ? void die() : await rm(path, options))
syncBuiltinESMExports()

const runtime = await openRuntime()
if (point === 'removing') await runtime.remove(directoryOf(id))
const volume = join(node.directory, `${id}-volume`)
mkdirSync(volume)
const script = 'echo before; while ! test -e /v/go; do sleep 0.02; done; echo after; exit 6'
const { pid } = await runtime.start(
  containerSpec(id, ['sh', '-c', script], { mounts: [{ destination: '/v', source: volume, readOnly: false, propagation: 'private' }] }),
)
process.stdout.write(`${pid}\n`, die)
