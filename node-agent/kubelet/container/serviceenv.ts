/** The environment variables that tell a container where Services are, in Docker-link style. */
import type { Service } from '#shared/api/core/service.ts'

const upper = (name: string): string => name.toUpperCase().replaceAll('-', '_')

/** The variables of one Service with a cluster IP. */
function variables(service: Service): [string, string][] {
  const name = upper(service.metadata.name ?? '')
  const ip = service.spec?.clusterIP ?? ''
  const host = ip.includes(':') ? `[${ip}]` : ip
  const ports = service.spec?.ports ?? []
  const first = ports[0]
  if (!first) return []
  const protocol = (p: typeof first): string => p.protocol ?? 'TCP'
  const url = (p: typeof first): string => `${protocol(p).toLowerCase()}://${host}:${p.port}`
  return [
    [`${name}_SERVICE_HOST`, ip],
    [`${name}_SERVICE_PORT`, String(first.port)],
    ...ports.filter(p => p.name).map(p => [`${name}_SERVICE_PORT_${upper(p.name!)}`, String(p.port)] as [string, string]),
    [`${name}_PORT`, url(first)],
    ...ports.flatMap(p => {
      const prefix = `${name}_PORT_${p.port}_${protocol(p)}`
      return [
        [prefix, url(p)],
        [`${prefix}_PROTO`, protocol(p).toLowerCase()],
        [`${prefix}_PORT`, String(p.port)],
        [`${prefix}_ADDR`, ip],
      ] as [string, string][]
    }),
  ]
}

/** Services of the pod's namespace when links are enabled; `kubernetes` of `default` always. */
export function serviceEnvironment(services: readonly Service[], namespace: string, enableServiceLinks: boolean): Map<string, string> {
  const hasIP = (s: Service): boolean => Boolean(s.spec?.clusterIP) && s.spec?.clusterIP !== 'None'
  const master = (s: Service): boolean => s.metadata.namespace === 'default' && s.metadata.name === 'kubernetes'
  const wanted = services.filter(s => hasIP(s) && (master(s) || (enableServiceLinks && s.metadata.namespace === namespace)))
  // The pod's own namespace wins over the master's.
  wanted.sort((a, b) => Number(a.metadata.namespace === namespace) - Number(b.metadata.namespace === namespace))
  return new Map(wanted.flatMap(variables))
}
