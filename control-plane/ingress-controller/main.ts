/**
 * ingress-controller: a container beside HAProxy in a pod. It follows Ingresses, and what they name, and keeps the proxy in step; the proxy
 * serves on when it is away.
 */
import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import * as z from 'zod'
import { endpointSlices, ingressClasses, ingresses, namespaces, secrets, services } from '#shared/api/kinds.ts'
import type { Ingress } from '#shared/api/networking/ingress.ts'
import { makeAuthority } from '#shared/certificates/certificate.ts'
import { backoff, sleep } from '#shared/client/backoff.ts'
import { eventRecorder } from '#shared/client/events.ts'
import { httpsTransport } from '#shared/client/https.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { newClient } from '#shared/client/rest.ts'
import { parseFlags } from '#shared/component/flags.ts'
import { ready, untilTerminated } from '#shared/component/lifecycle.ts'
import { logger } from '#shared/component/log.ts'
import { usualPorts } from './config.ts'
import { followCustomKinds } from './gateway/follow.ts'
import { gatewayRouting } from './gateway/gateway.ts'
import { writeGatewayStatuses } from './gateway/status.ts'
import { placeOf } from './gateway/services.ts'
import { gatewayClasses, gateways, grpcRoutes, httpRoutes, referenceGrants, tlsRoutes } from './gateway/types.ts'
import { ingressRouting } from './ingress.ts'
import { openProxy } from './proxy.ts'
import { pointsOf, problemTeller, writeStatuses } from './status.ts'

const component = 'ingress-controller'
const flags = parseFlags(
  component,
  z.object({
    /** Where the proxy's files and sockets are. */
    dir: z.string().startsWith('/').default('/run/ingress'),
    /** `spec.controller` of the IngressClasses that are its own, `spec.controllerName` of the GatewayClasses. */
    controllerClass: z.string().default('coxswain.io/ingress-controller'),
    /** The Service that leads to it, whose addresses Ingresses are told. */
    publishService: z.string().default('kube-system/ingress'),
    /** A pod's way to the API, as Kubernetes gives it to every pod. */
    serviceAccountDir: z.string().default('/var/run/secrets/kubernetes.io/serviceaccount'),
  }),
)
/** Changes that come together are applied together. */
const batchMs = 20

const log = logger(component)
const signal = untilTerminated()
process.on('unhandledRejection', e => log.error({ err: e }, 'unhandled rejection'))

const inPod = (name: string): string => path.join(flags.serviceAccountDir, name)
const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env
const client = newClient(
  httpsTransport({
    server: `https://${host}:${port}`,
    ca: readFileSync(inPod('ca.crt'), 'utf8'),
    // The kubelet replaces it before it ends.
    token: () => readFileSync(inPod('token'), 'utf8'),
  }),
  { userAgent: component },
)

await mkdir(path.join(flags.dir, 'certs'), { recursive: true })
// What is answered for names that no certificate is for.
const fallback = await makeAuthority('coxswain ingress default certificate')
await writeFile(path.join(flags.dir, 'certs/default.pem'), fallback.cert + fallback.key, { mode: 0o600, flag: 'wx' }).catch(
  (e: NodeJS.ErrnoException) => {
    if (e.code !== 'EEXIST') throw e
  },
)

const all = {
  ingresses: startInformer(client, ingresses, { log }, signal),
  classes: startInformer(client, ingressClasses, { log }, signal),
  services: startInformer(client, services, { log }, signal),
  slices: startInformer(client, endpointSlices, { log }, signal),
  namespaces: startInformer(client, namespaces, { log, metadataOnly: true }, signal),
  secrets: startInformer(client, secrets, { log, fieldSelector: 'type=kubernetes.io/tls' }, signal),
}
all.slices.addIndex('service', s => [`${s.metadata.namespace}/${s.metadata.labels?.['kubernetes.io/service-name'] ?? ''}`])

const split = (key: string): [string, string] => key.split('/', 2) as [string, string]
const service = (key: string) => all.services.get(...split(key))
const isOurs = ({ metadata, spec }: Ingress): boolean => {
  const name = spec?.ingressClassName ?? metadata.annotations?.['kubernetes.io/ingress.class']
  return name !== undefined && all.classes.get('', name)?.spec?.controller === flags.controllerClass
}
const sync = await openProxy({ dir: flags.dir, ports: usualPorts }, { service, slices: key => all.slices.byIndex('service', key) }, log)
const tell = problemTeller(eventRecorder(client, component, '', log), log)

let dirty = true
let wake = (): void => {}
const changed = (): void => {
  dirty = true
  wake()
}
const custom = followCustomKinds(
  client,
  [gatewayClasses, gateways, httpRoutes, grpcRoutes, tlsRoutes, referenceGrants],
  changed,
  log,
  signal,
)
await Promise.all([custom.synced, ...Object.values(all).map(i => i.synced)])
for (const informer of Object.values(all)) informer.subscribe(changed)
signal.addEventListener('abort', () => wake(), { once: true })
ready()

const pause = backoff(200, 10_000)
while (!signal.aborted) {
  if (!dirty) await new Promise<void>(resolve => (wake = resolve))
  await sleep(batchMs, signal)
  if (signal.aborted) break
  dirty = false
  const own = all.ingresses.list().filter(isOurs)
  const known = {
    service: (namespace: string, name: string) => all.services.get(namespace, name),
    secret: (namespace: string, name: string) => all.secrets.get(namespace, name),
    labelsOfNamespace: (name: string) => all.namespaces.get('', name)?.metadata.labels ?? {},
    grants: custom.list(referenceGrants),
  }
  const points = pointsOf(service(flags.publishService))
  const objects = {
    classes: custom.list(gatewayClasses),
    gateways: custom.list(gateways),
    httpRoutes: custom.list(httpRoutes),
    grpcRoutes: custom.list(grpcRoutes),
    tlsRoutes: custom.list(tlsRoutes),
  }
  const { routing: ofGateways, statuses } = gatewayRouting(objects, known, flags.controllerClass, g => placeOf(g, known.service))
  const ofIngresses = ingressRouting(own, known)
  const routing = {
    ...ofGateways,
    rules: [...ofGateways.rules, ...ofIngresses.rules],
    certificates: [...ofGateways.certificates, ...ofIngresses.certificates],
    problems: [...ofGateways.problems, ...ofIngresses.problems],
  }
  try {
    await sync(routing)
    pause.reset()
  } catch (e) {
    log.error({ err: (e as Error).message.slice(0, 2000) }, 'the proxy could not be told; will try again')
    await sleep(pause.next(), signal)
    dirty = true
  }
  tell(routing.problems, (namespace, name) => all.ingresses.get(namespace, name))
  await writeStatuses(client, own, points, log)
  await writeGatewayStatuses(client, statuses, custom.kindOf, log)
}
process.exit(0)
