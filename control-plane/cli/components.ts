/** The control-plane processes of a local cluster and their command lines. */
import { connect } from 'node:net'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { natsServer } from './system.ts'
import type { Addresses, StateDir } from './state.ts'
import type { Component } from './supervisor.ts'

/** dist/, where the bundles lie; the CLI is one of them. */
export const bundles = import.meta.dirname
export const natsPort = 4222
export const natsUrl = (at: Addresses): string => `nats://${at.host}:${natsPort}`

/** What every process of ours is started with: compiled code is kept beside the bundles. */
export const processEnv = { NODE_COMPILE_CACHE: path.join(bundles, '.compile-cache') }
/** No --enable-source-maps: the first stack trace would cost 30 MB. `NODE_OPTIONS` brings it back for who debugs. */
export const nodeArgs = ['--max-semi-space-size=4']

/** Nobody stands by to take over here, and a restarted process goes on as the leader it was: the lease may outlast a restart of the API server. */
const leaderElection = ['--leader-elect-lease-duration', '10s', '--leader-elect-renew-deadline', '8s', '--leader-elect-retry-period', '500ms']
const tolerationSeconds = '4'

/** Resolves once something accepts connections. */
async function accepts(host: string, port: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const open = await new Promise<boolean>(resolve => {
      const socket = connect({ host, port }, () => resolve(true))
      socket.on('error', () => resolve(false))
      socket.setTimeout(1000, () => resolve(false))
      socket.once('close', () => resolve(false))
      signal.addEventListener('abort', () => socket.destroy(), { once: true })
      socket.once('connect', () => socket.destroy())
    })
    if (open) return
    await delay(10)
  }
  throw new Error('stopped')
}

export function controlPlane(dir: StateDir, at: Addresses, securePort: number): Component[] {
  const creds = (identity: string): string => path.join(dir.creds, `${identity}.creds`)
  const pki = (file: string): string => path.join(dir.pki, file)
  const ours = (name: string, args: string[]): Component => ({
    name,
    command: process.execPath,
    args: [...nodeArgs, path.join(bundles, `${name}.js`), '--nats-url', natsUrl(at), ...args],
    env: processEnv,
  })
  return [
    { name: 'nats-server', command: natsServer() ?? 'nats-server', args: ['-c', path.join(dir.nats, 'server.conf')], probe: signal => accepts(at.host, natsPort, signal) },
    ours('kube-apiserver', [
      ...['--registry-creds', creds('registry'), '--bus-creds', creds('system:apiserver')],
      ...['--bind-address', '127.0.0.1', '--bind-address', at.host, '--advertise-address', at.host, '--secure-port', String(securePort)],
      ...['--tls-cert-file', pki('apiserver.crt'), '--tls-private-key-file', pki('apiserver.key'), '--client-ca-file', pki('ca.crt')],
      ...['--service-account-key-file', pki('sa.pub'), '--service-account-signing-key-file', pki('sa.key'), '--service-account-issuer', 'https://kubernetes.default.svc.cluster.local'],
      ...['--service-cluster-ip-range', at.services],
      ...['--default-not-ready-toleration-seconds', tolerationSeconds, '--default-unreachable-toleration-seconds', tolerationSeconds],
    ]),
    ours('kube-controller-manager', [
      ...['--creds', creds('system:kube-controller-manager'), '--identity', 'kube-controller-manager-0', '--root-ca-file', pki('ca.crt')],
      ...['--node-monitor-period', '1s', '--node-monitor-grace-period', '6s', ...leaderElection],
    ]),
    ours('kube-scheduler', ['--creds', creds('system:kube-scheduler'), '--identity', 'kube-scheduler-0', ...leaderElection]),
  ]
}
