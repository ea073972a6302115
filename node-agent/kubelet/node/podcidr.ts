/**
 * The addresses of a node's pods as the node IPAM controller gives them: the kubelet registers without any and waits, as upstream's does.
 * What it was given is kept, so that a node starts its static pods when the API is away.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nodes } from '#shared/api/kinds.ts'
import type { Node } from '#shared/api/core/node.ts'
import { natsTransport } from '#shared/bus/api-client.ts'
import type { BusConnection } from '#shared/bus/connection.ts'
import { backoff, sleep } from '#shared/client/backoff.ts'
import type { Client } from '#shared/client/client.ts'
import { newClient } from '#shared/client/rest.ts'
import { isAlreadyExists } from '#shared/machinery/status.ts'

const range = /^\d+\.\d+\.\d+\.\d+\/\d+$/

/** Resolves when the node has one; rejects with `signal` alone. */
export async function assignedPodCIDR(
  { nodeName, rootDir }: { nodeName: string; rootDir: string },
  connecting: Promise<BusConnection>,
  signal: AbortSignal,
): Promise<string> {
  const file = join(rootDir, 'pod-cidr')
  const kept = existsSync(file) ? readFileSync(file, 'utf8').trim() : ''
  if (range.test(kept)) return kept
  const transport = natsTransport(await connecting)
  const client = newClient(transport)
  const pause = backoff(100, 2_000)
  try {
    for (;;) {
      signal.throwIfAborted()
      const given = await ask(client, nodeName, signal).catch(() => undefined)
      if (given !== undefined) {
        mkdirSync(rootDir, { recursive: true })
        writeFileSync(`${file}.new`, `${given}\n`)
        renameSync(`${file}.new`, file)
        return given
      }
      await sleep(pause.next(), signal)
    }
  } finally {
    await transport.close()
  }
}

/** Makes the Node when there is none, and follows it until it says. */
async function ask(client: Client, name: string, signal: AbortSignal): Promise<string | undefined> {
  const blank = { apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'kubernetes.io/hostname': name } }, spec: {} }
  let node: Node = await client.create(nodes, '', blank as Node).catch((e: unknown) => {
    if (!isAlreadyExists(e)) throw e
    return client.get<Node>(nodes, '', name)
  })
  if (node.spec.podCIDR) return node.spec.podCIDR
  const resourceVersion = node.metadata.resourceVersion ?? ''
  for await (const event of client.watch(nodes, '', { fieldSelector: `metadata.name=${name}`, resourceVersion }, signal)) {
    if (event.type === 'BOOKMARK') continue
    if (event.type === 'DELETED') return undefined
    node = event.object
    if (node.spec.podCIDR) return node.spec.podCIDR
  }
  return undefined
}
