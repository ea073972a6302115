/**
 * Starts a container, prints its pid and is killed: a node-agent that crashes. With the argument `spawning` that is as soon as there is a
 * shim, with `starting` when the shim was told of the container.
 */
import childProcess from 'node:child_process'
import { syncBuiltinESMExports } from 'node:module'
import { createProcessRuntime } from '#node-agent/runtime/process.ts'
import type { ContainerSpec } from '#node-agent/runtime/runtime.ts'

const die = (): boolean => process.kill(process.pid, 'SIGKILL')
const { spawn } = childProcess
const isShim = (command: string): boolean => command === process.execPath
if (process.argv[4] === 'spawning')
  childProcess.spawn = ((...args: Parameters<typeof spawn>) => [spawn(...args), isShim(args[0]) && die()][0]) as typeof spawn
if (process.argv[4] === 'starting')
  childProcess.spawn = ((...args: Parameters<typeof spawn>) => {
    const child = spawn(...args)
    if (!isShim(args[0])) return child
    const input = child.stdin!
    input.end = (text => (input.write(text), die(), input)) as typeof input.end
    return child
  }) as typeof spawn
syncBuiltinESMExports()

const runtime = await createProcessRuntime({ rootDir: process.argv[3]! })
const { pid } = await runtime.start(JSON.parse(process.argv[2]!) as ContainerSpec)
process.stdout.write(`${pid}\n`, die)
