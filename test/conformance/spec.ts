/** One spec of upstream's e2e.test against a cluster, in a process of its own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, closeSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import path from 'node:path'

/** Specs that have their own group of processes end with all that they started. */
const secondsToClean = 25

export interface Outcome {
  readonly name: string
  readonly result: 'passed' | 'failed' | 'timed out' | 'skipped'
  readonly seconds: number
  /** Of a failure: what the spec says, in one line. */
  readonly cause: string
  readonly log: string
}

export interface Where {
  /** The folder of `build.sh`. */
  readonly build: string
  readonly kubeconfig: string
  readonly nodes: number
  /** A folder for logs. */
  readonly logs: string
  readonly limitSeconds: number
  /** More of the spec's environment. */
  readonly env: Readonly<Record<string, string>>
}

/** Runs it; never rejects for what the spec does. `log` is the file's name below `logs`. */
export async function runSpec(name: string, log: string, where: Where, signal: AbortSignal): Promise<Outcome> {
  const { build, kubeconfig, logs } = where
  const home = path.join(logs, 'home')
  await mkdir(home, { recursive: true })
  const file = path.join(logs, log)
  const output = openSync(file, 'w')
  const began = performance.now()
  const args = [
    ...[`--kubeconfig=${kubeconfig}`, '--provider=skeleton', `--kubectl-path=${path.join(build, 'bin/kubectl')}`],
    ...['--disable-log-dump=true', '--delete-namespace=true', '--gather-metrics-at-teardown=false', '--dns-domain=cluster.local'],
    ...['--node-schedulable-timeout=30s', '--system-pods-startup-timeout=30s', '--allowed-not-ready-nodes=0', `--num-nodes=${where.nodes}`],
    ...['--ginkgo.noColor', '--ginkgo.v', '--ginkgo.slowSpecThreshold=3600', `--ginkgo.focus=${exactly(name)}`],
  ]
  const child = spawn(path.join(build, 'bin/e2e.test'), args, {
    cwd: path.join(build, 'src'),
    env: { ...process.env, ...where.env, KUBECONFIG: kubeconfig, HOME: home },
    stdio: ['ignore', output, output],
    detached: true,
  })
  closeSync(output)
  // An interrupt lets the spec remove its namespace.
  const interrupt = (): boolean => child.kill('SIGINT')
  let late = false
  const limit = setTimeout(() => (late = interrupt()), where.limitSeconds * 1000)
  const end = setTimeout(() => child.kill('SIGKILL'), (where.limitSeconds + secondsToClean) * 1000)
  signal.addEventListener('abort', interrupt, { once: true })
  const [exitCode] = (await once(child, 'exit')) as [number | null]
  clearTimeout(limit)
  clearTimeout(end)
  signal.removeEventListener('abort', interrupt)
  endGroup(child.pid)
  const text = await readFile(file, 'utf8')
  const result = late ? 'timed out' : exitCode !== 0 ? 'failed' : /(?:^|\s)[1-9]\d* Passed \|/.test(text) ? 'passed' : 'skipped'
  const cause = result === 'passed' || result === 'skipped' ? '' : causeOf(text)
  return { name, result, seconds: Math.round(performance.now() - began) / 1000, cause, log: file }
}

const exactly = (name: string): string => `${name.replace(/[^A-Za-z0-9_ -]/g, '\\$&')}$`

/** Kubectl and servers that the spec started are in its group. */
function endGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'ESRCH') throw e
  }
}

/** The first failure in a log of Ginkgo's, in one line of at most 400 characters. */
export function causeOf(log: string): string {
  const found = /^\w{3} +\d+ [\d:.]+: FAIL: ([\s\S]*?)(?=\n\nFull Stack|\nFull Stack|\n\w{3} +\d+ [\d:.]+: |\n\[AfterEach\])/m.exec(log)
  return (found?.[1] ?? '').split(/\s+/).join(' ').slice(0, 400)
}
