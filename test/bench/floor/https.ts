/** HTTPS servers in processes of their own, with the cluster's own certificate. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import type { BenchCluster } from '../cluster.ts'

export interface FloorServer {
  url: string
  close(): void
}

/** An empty handler, or an admission webhook. */
export async function openFloorServer(cluster: BenchCluster, program: 'server' | 'webhook' = 'server'): Promise<FloorServer> {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, `${program}.mjs`)], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.end(JSON.stringify({ cert: cluster.pem('apiserver.crt'), key: cluster.pem('apiserver.key') }))
  const [line] = (await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(() => Promise.reject(new Error('the floor server ended'))),
  ])) as [Buffer]
  return { url: `https://127.0.0.1:${String(line).trim()}`, close: () => void child.kill('SIGKILL') }
}
