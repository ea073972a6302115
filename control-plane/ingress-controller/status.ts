/** Tells Ingresses where they are reached, and by events what is wrong with them. */
import type { Service } from '#shared/api/core/service.ts'
import { ingresses } from '#shared/api/kinds.ts'
import type { Ingress } from '#shared/api/networking/ingress.ts'
import type { Client } from '#shared/client/client.ts'
import type { EventRecorder } from '#shared/client/events.ts'
import type { Logger } from '#shared/component/log.ts'
import { isNotFound, isStatus } from '#shared/machinery/status.ts'
import type { Problem } from './model.ts'

type Points = NonNullable<NonNullable<NonNullable<Ingress['status']>['loadBalancer']>['ingress']>

/** Addresses of the Service that leads to the proxy. */
export const pointsOf = (object: { status?: Ingress['status'] | Service['status'] } | undefined): Points =>
  (object?.status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ({ ...(ip ? { ip } : {}), ...(hostname ? { hostname } : {}) }))

/** Writes the status of those that say something else. */
export async function writeStatuses(client: Client, all: readonly Ingress[], points: Points, log: Logger): Promise<void> {
  const told = ({ status }: Ingress): string => JSON.stringify(pointsOf({ status }))
  for (const ingress of all) {
    if (told(ingress) === JSON.stringify(points)) continue
    const { namespace = '', name = '' } = ingress.metadata
    await client
      .patch(ingresses, namespace, name, 'merge', { status: { loadBalancer: { ingress: points } } }, 'status')
      .catch((e: unknown) => {
        if (!isNotFound(e) && !isStatus(e, 'Conflict'))
          log.warn({ ingress: `${namespace}/${name}`, err: (e as Error).message }, 'the status of an Ingress could not be written')
      })
  }
}

/** Tells each problem once, for as long as it lasts. */
export function problemTeller(recorder: EventRecorder, log: Logger) {
  let told = new Set<string>()
  return (problems: readonly Problem[], find: (namespace: string, name: string) => Ingress | undefined): void => {
    const now = new Set<string>()
    for (const { about, message } of problems) {
      const id = `${about} ${message}`
      now.add(id)
      if (told.has(id)) continue
      log.warn({ about, problem: message }, 'not all of it is served')
      const [kind, namespace = '', name = ''] = about.split('/')
      const object = kind === 'Ingress' ? find(namespace, name) : undefined
      if (object) recorder.event(object, 'Warning', 'Rejected', message)
    }
    told = now
  }
}
