/**
 * ingress-addon-controller: the IngressClass `coxswain`, which is the default, and behind it, once an Ingress of it is there or a
 * GatewayClass of ours, a proxy: the program from the system's packages, and a Deployment in kube-system; for Ingresses a Service of type
 * LoadBalancer, too. What users change of them stays.
 */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import type { Deployment } from '#shared/api/apps/deployment.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { ServiceAccount } from '#shared/api/core/serviceaccount.ts'
import { deployments, ingressClasses, ingresses, serviceAccounts, services } from '#shared/api/kinds.ts'
import type { IngressClass } from '#shared/api/networking/ingressclass.ts'
import { source } from '#shared/client/controller.ts'
import { run } from '#shared/linux/run.ts'
import type { Logger } from '#shared/component/log.ts'
import { isAlreadyExists, isNotFound } from '#shared/machinery/status.ts'
import { followCustomKinds } from '../ingress-controller/gateway/follow.ts'
import { gatewayClasses } from '../ingress-controller/gateway/types.ts'
import type { NewCloudController } from './context.ts'

export const ingressClassName = 'coxswain'
export const controllerClass = 'coxswain.io/ingress-controller'
const namespace = 'kube-system'
const account = 'ingress-controller'
const name = 'ingress'
/** Of the proxy's pods. */
export const labels = { 'app.kubernetes.io/name': name, 'app.kubernetes.io/managed-by': 'coxswain' }
/** Of the Deployment: what it was made from, so that another version of this file replaces it. */
const madeFrom = 'coxswain.io/made-from'

const ingressClass = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'IngressClass',
  metadata: { name: ingressClassName, annotations: { 'ingressclass.kubernetes.io/is-default-class': 'true' } },
  spec: { controller: controllerClass },
} as unknown as IngressClass

const dir = '/run/ingress'
const container = (more: object): object => ({
  volumeMounts: [{ name: 'run', mountPath: dir }],
  securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
  ...more,
})
const template = {
  metadata: { labels },
  spec: {
    serviceAccountName: account,
    priorityClassName: 'system-cluster-critical',
    // As long as connections that are open have to end.
    terminationGracePeriodSeconds: 30,
    securityContext: { runAsUser: 65_534, runAsGroup: 65_534, fsGroup: 65_534 },
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: labels },
      },
    ],
    containers: [
      container({
        name: 'proxy',
        image: 'haproxy',
        // It begins when the controller has written what it shall serve. Its master process keeps the ports over reloads.
        command: [
          'sh',
          '-c',
          `until [ -e ${dir}/structure ]; do sleep 0.05; done; exec haproxy -W -db -S ${dir}/master.sock,mode,600 -f ${dir}/haproxy.cfg`,
        ],
        ports: [
          { name: 'http', containerPort: 8080 },
          { name: 'https', containerPort: 8443 },
          { name: 'metrics', containerPort: 8081 },
        ],
        readinessProbe: { httpGet: { path: '/healthz', port: 8081 }, periodSeconds: 1, failureThreshold: 2 },
        // New connections come until every node has heard; then those that are open end.
        lifecycle: { preStop: { exec: { command: ['sh', '-c', 'sleep 3; kill -USR1 1; sleep 20'] } } },
        resources: { requests: { cpu: '50m', memory: '64Mi' } },
      }),
      container({
        name: 'controller',
        image: 'coxswain/ingress-controller',
        args: ['--dir', dir],
        resources: { requests: { cpu: '20m', memory: '64Mi' } },
      }),
    ],
    volumes: [{ name: 'run', emptyDir: { medium: 'Memory' } }],
  },
}
const deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace, labels },
  spec: {
    replicas: 2,
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
    selector: { matchLabels: labels },
    template,
  },
} as unknown as Deployment
const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace, labels },
  spec: {
    type: 'LoadBalancer',
    // The proxy sees who asks.
    externalTrafficPolicy: 'Local',
    selector: labels,
    ports: [
      { name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' },
      { name: 'https', port: 443, targetPort: 8443, protocol: 'TCP' },
    ],
  },
} as unknown as Service

/** The proxy's program from the system's packages, where that can be had. What cannot be is told by the kubelet, by its image. */
async function install(log: Logger): Promise<void> {
  const has = (file: string): boolean => ['/usr/local/sbin', '/usr/sbin', '/usr/bin', '/sbin'].some(d => existsSync(`${d}/${file}`))
  if (has('haproxy') || process.getuid?.() !== 0 || !has('apt-get')) return
  log.info('installing haproxy with apt-get')
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const apt = (...args: string[]) => run('apt-get', ['-qq', ...args], { env, timeoutMs: 240_000 })
  const get = () => apt('install', '-y', '--no-install-recommends', 'haproxy')
  await get().catch(() => apt('update').then(get))
  // Debian starts the service that it installs; ours is another one.
  if (has('systemctl')) await run('systemctl', ['disable', '--now', 'haproxy'], { timeoutMs: 20_000 }).catch(() => {})
}

const unlessThere = (e: unknown): void => {
  if (!isAlreadyExists(e)) throw e
}

export const ingressAddonController: NewCloudController = ({ client, informer, log, signal }) => {
  const classes = informer(ingressClasses)
  const wanting = informer(ingresses)
  const only = ingressClassName
  const isWanted = (): boolean =>
    wanting.list().some(i => {
      const named = i.spec?.ingressClassName ?? i.metadata.annotations?.['kubernetes.io/ingress.class']
      return named !== undefined && classes.get('', named)?.spec?.controller === controllerClass
    })
  let custom: ReturnType<typeof followCustomKinds>
  const isGatewayWanted = (): boolean => custom.list(gatewayClasses).some(c => c.spec.controllerName === controllerClass)
  let [hasProxy, hasService] = [false, false]
  return {
    name: 'ingress-addon-controller',
    client,
    sources: [
      source(classes, ({ type }) => (type === 'DELETED' ? [only] : [])),
      source(wanting, ({ type }) => (type === 'ADDED' && !hasService ? [only] : [])),
    ],
    start: queue => {
      queue.add(only)
      custom = followCustomKinds(client, [gatewayClasses], () => !hasProxy && queue.add(only), log, signal)
    },
    async reconcile(_, client) {
      if (!classes.get('', ingressClassName)) await client.create(ingressClasses, '', ingressClass).catch(unlessThere)
      const ofIngresses = isWanted()
      if (ofIngresses && !hasService) {
        await client.create(services, namespace, service).catch(unlessThere)
        hasService = true
      }
      if (hasProxy || !(ofIngresses || isGatewayWanted())) return
      await install(log).catch((e: Error) => log.error({ err: e.message }, 'haproxy cannot be installed'))
      const metadata = { name: account, namespace, labels }
      await client
        .create(serviceAccounts, namespace, { apiVersion: 'v1', kind: 'ServiceAccount', metadata } as ServiceAccount)
        .catch(unlessThere)
      const from = createHash('sha256').update(JSON.stringify(template)).digest('hex').slice(0, 16)
      const annotations = { [madeFrom]: from }
      const found = await client.get(deployments, namespace, name).catch((e: unknown) => {
        if (!isNotFound(e)) throw e
      })
      if (!found) await client.create(deployments, namespace, { ...deployment, metadata: { ...deployment.metadata, annotations } })
      else if (found.metadata.annotations?.[madeFrom] !== from)
        await client.patch(deployments, namespace, name, 'merge', { metadata: { annotations }, spec: { template } })
      hasProxy = true
    },
    log,
  }
}
