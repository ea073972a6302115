/** What every measurement needs and has to give back: clients, namespaces, and cleaning up after itself. */
import type { Namespace } from '#shared/api/core/namespace.ts'
import { namespaces, serviceAccounts } from '#shared/api/kinds.ts'
import { httpsTransport } from '#shared/client/https.ts'
import { newClient } from '#shared/client/rest.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import type { BenchCluster } from './cluster.ts'
import type { Bench, Sizes } from './measurement.ts'
import { until } from './until.ts'

let made = 0

/** `end` undoes what the measurement did; it never throws. */
export function newBench(cluster: BenchCluster, sizes: Sizes, say: (line: string) => void): Bench & { end(): Promise<void> } {
  const cleaners: (() => unknown)[] = []
  const connect = () => {
    const transport = httpsTransport({
      server: cluster.url(),
      ca: cluster.pem('ca.crt'),
      cert: cluster.pem('admin.crt'),
      key: cluster.pem('admin.key'),
    })
    cleaners.unshift(() => transport.close())
    return newClient(transport, { userAgent: 'bench', timeoutMs: 60_000 })
  }
  const client = connect()
  return {
    cluster,
    client,
    sizes,
    say,
    afterwards: clean => void cleaners.push(clean),
    async namespace() {
      const name = `bench-${process.pid}-${++made}`
      await client.create(namespaces, '', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } } as Namespace)
      cleaners.push(async () => {
        await client.delete(namespaces, '', name)
        await until(() => client.get(namespaces, '', name).then(() => false, isNotFound), `namespace ${name} is gone`)
      })
      await until(
        () =>
          client.get(serviceAccounts, name, 'default').then(
            () => true,
            () => false,
          ),
        `the ServiceAccount of ${name}`,
      )
      return name
    },
    async end() {
      for (const clean of cleaners.reverse()) {
        try {
          await clean()
        } catch (e) {
          say(`cleaning up: ${e instanceof Error ? e.message : String(e)}`)
        }
      }
    },
  }
}
