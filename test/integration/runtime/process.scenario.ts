import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { cgroupTrees } from '#shared/linux/cgroup.ts'
import { createProcessRuntime } from '#node-agent/runtime/process.ts'
import { eventually, type Scenario } from '../../fixtures/in-node.ts'
import { containerSpec, directoryOf, node } from './containers.ts'

const runtime = node.directory
  ? await createProcessRuntime({ rootDir: join(node.directory, 'node'), cgroupRoot: node.cgroup })
  : (undefined as never)

const commands = (): string[] =>
  readdirSync('/proc')
    .filter(name => /^\d+$/.test(name) && existsSync(`/proc/${name}/cmdline`))
    .map(pid => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      } catch {
        return ''
      }
    })
const daemons = (): string[] => commands().filter(command => /^sleep 432\d/.test(command))

export const scenario: Scenario = {
  async 'a daemon with a session and an environment of its own ends with its container'() {
    const daemon = (n: number) => `env -i setsid sleep 432${n} >/dev/null 2>&1 &`
    await runtime.start(containerSpec('daemon', ['sh', '-c', `${daemon(1)} exec sleep 1000`]))
    assert.equal(await runtime.exec(directoryOf('daemon'), { args: ['sh', '-c', daemon(2)], tty: false }), 0)
    await eventually(() => assert.equal(daemons().length, 2))
    await runtime.remove(directoryOf('daemon'))
    assert.deepEqual(daemons(), [])
    for (const tree of await cgroupTrees()) assert.equal(existsSync(join(tree, node.cgroup, 'burstable/pod1/daemon')), false)
  },
}
