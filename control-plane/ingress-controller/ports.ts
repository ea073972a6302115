/** The ports of the Service that leads to the proxy, beside those of HTTP and HTTPS: what Gateways listen at. */
import type { Service } from '#shared/api/core/service.ts'
import { services } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import type { Logger } from '#shared/component/log.ts'
import { isNotFound, isStatus } from '#shared/machinery/status.ts'
import { innerPort, usualPorts } from './config.ts'
import type { Routing } from './model.ts'

const prefix = 'gateway-'

/** Adds those that are wanted, takes away those of ours that are not any more, leaves all others. */
export async function publishPorts(client: Client, service: Service | undefined, routing: Routing, log: Logger): Promise<void> {
  if (!service) return
  const { namespace = '', name = '', resourceVersion } = service.metadata
  const all = service.spec.ports ?? []
  const kept = all.filter(p => !p.name?.startsWith(prefix))
  const wanted = [...(routing.listening ?? []).map(l => l.port), ...(routing.streams ?? []).map(s => s.port)]
  const ports = [...new Set(wanted)].filter(port => !kept.some(p => p.port === port)).sort((a, b) => a - b)
  const had = all.filter(p => p.name?.startsWith(prefix)).map(p => p.port)
  if (JSON.stringify(ports) === JSON.stringify(had)) return
  const more = ports.map(
    port =>
      all.find(p => p.name === `${prefix}${port}`) ?? {
        name: `${prefix}${port}`,
        port,
        protocol: 'TCP',
        targetPort: innerPort({ dir: '', ports: usualPorts }, port),
      },
  )
  await client
    .patch(services, namespace, name, 'merge', { metadata: { resourceVersion }, spec: { ports: [...kept, ...more] } })
    .then(() => log.info({ ports }, 'the Service has the ports that Gateways listen at'))
    .catch((e: unknown) => {
      if (!isNotFound(e) && !isStatus(e, 'Conflict'))
        log.warn({ err: (e as Error).message }, 'the ports of the Service could not be written')
    })
}
