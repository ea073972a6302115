/**
 * For vitest's (or jest's) `globalSetup`: a cluster for all tests, in KUBECONFIG. It ends with the test runner, also when that is killed.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { createInterface } from 'node:readline'

const cox = path.resolve(import.meta.dirname, '../../control-plane/cli/cox.sh')

export default async function setup(): Promise<() => Promise<void>> {
  const flags = ['--api-only', '--ephemeral', '--exit-with-parent', '--output', 'json']
  const cluster = spawn(cox, ['up', ...flags], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface(cluster.stdout)
  const [line] = (await Promise.race([once(lines, 'line'), once(lines, 'close')])) as [string?]
  if (line === undefined) throw new Error('the cluster did not start')
  process.env['KUBECONFIG'] = (JSON.parse(line) as { kubeconfig: string }).kubeconfig
  return async () => {
    cluster.stdin.end()
    await once(cluster, 'exit')
  }
}
