/** An empty HTTPS handler in a process of its own, with the cluster's own certificate. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import type { BenchCluster } from '../cluster.ts'

export interface FloorServer {
  url: string
  close(): void
}

export async function openFloorServer(cluster: BenchCluster): Promise<FloorServer> {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, 'server.mjs')], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.end(JSON.stringify({ cert: cluster.pem('apiserver.crt'), key: cluster.pem('apiserver.key') }))
  const [line] = (await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(() => Promise.reject(new Error('the floor server ended'))),
  ])) as [Buffer]
  return { url: `https://127.0.0.1:${String(line).trim()}`, close: () => void child.kill('SIGKILL') }
}
