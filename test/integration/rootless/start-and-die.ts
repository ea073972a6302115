/** Starts a container, prints its pid and is killed: a node-agent that crashes. */
import { createProcessRuntime } from '#node-agent/runtime/process.ts'
import type { ContainerSpec } from '#node-agent/runtime/runtime.ts'

const runtime = await createProcessRuntime({ rootDir: process.argv[3]! })
const { pid } = await runtime.start(JSON.parse(process.argv[2]!) as ContainerSpec)
process.stdout.write(`${pid}\n`, () => process.kill(process.pid, 'SIGKILL'))
