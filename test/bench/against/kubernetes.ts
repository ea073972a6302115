/**
 * The control plane of Kubernetes 1.20.2 with etcd, as `npm run conformance -- --build DIR` builds it, on loopback and for one measurement.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { openSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { makeAuthority, sign } from '#shared/certificates/certificate.ts'
import { kubeconfig } from '#control-plane/cli/pki.ts'
import { httpsTransport } from '#shared/client/https.ts'
import { newClient } from '#shared/client/rest.ts'
import type { Client } from '#shared/client/client.ts'
import { until } from '../until.ts'
import { freePort } from '../../fixtures/free-port.ts'

export interface Kubernetes {
  readonly url: string
  /** The `Authorization` header of an administrator. */
  readonly authorization: string
  readonly client: Client
  /** Of all its processes. */
  readonly pids: readonly number[]
  stop(): Promise<void>
}

/** Resolves when it serves. Everything it writes is below a folder of its own, which `stop` removes. */
export async function startKubernetes(build: string): Promise<Kubernetes> {
  const dir = await mkdtemp(path.join(tmpdir(), 'cox-kubernetes-'))
  const [port, client, peer] = await Promise.all([freePort(), freePort(), freePort()])
  const children: ChildProcess[] = []
  const start = (name: string, args: readonly string[]): void => {
    const log = openSync(path.join(dir, `${name}.log`), 'a')
    // They must not outlive a bench that is killed.
    children.push(
      spawn('setpriv', ['--pdeathsig', 'KILL', path.join(build, 'bin', name), ...args], { stdio: ['ignore', log, log], cwd: dir }),
    )
  }
  const stop = async (): Promise<void> => {
    await Promise.all(
      children.map(child => child.exitCode ?? (child.kill('SIGKILL') && new Promise(resolve => child.once('exit', resolve)))),
    )
    await rm(dir, { recursive: true, force: true })
  }
  const file = async (name: string, text: string): Promise<string> => {
    await writeFile(path.join(dir, name), text, { mode: 0o600 })
    return path.join(dir, name)
  }
  try {
    const ca = await makeAuthority()
    const [server, admin] = await Promise.all([
      sign(ca, { commonName: 'kube-apiserver', names: { dns: ['localhost'], ips: ['127.0.0.1'] } }),
      sign(ca, { commonName: 'kubernetes-admin', organizations: ['system:masters'] }),
    ])
    const token = randomBytes(16).toString('hex')
    const account = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    }).privateKey
    const [caFile, key, config] = await Promise.all([
      file('ca.crt', ca.cert),
      file('sa.key', account),
      file('admin.conf', kubeconfig(port, ca.cert, { name: 'kubernetes-admin', pair: admin })),
    ])
    const etcd = `http://127.0.0.1:${client}`
    const peers = `http://127.0.0.1:${peer}`
    start('etcd', [
      ...['--data-dir', path.join(dir, 'etcd'), '--listen-client-urls', etcd, '--advertise-client-urls', etcd],
      ...['--listen-peer-urls', peers, '--initial-advertise-peer-urls', peers, '--initial-cluster', `default=${peers}`],
    ])
    start('kube-apiserver', [
      ...[`--etcd-servers=${etcd}`, '--bind-address=127.0.0.1', `--secure-port=${port}`, `--client-ca-file=${caFile}`],
      ...[`--tls-cert-file=${await file('server.crt', server.cert)}`, `--tls-private-key-file=${await file('server.key', server.key)}`],
      ...[`--service-account-key-file=${key}`, `--service-account-signing-key-file=${key}`],
      ...[
        '--service-account-issuer=https://kubernetes.default.svc',
        '--service-cluster-ip-range=10.96.0.0/16',
        '--authorization-mode=Node,RBAC',
      ],
      `--token-auth-file=${await file('tokens.csv', `${token},admin,admin,system:masters\n`)}`,
    ])
    const transport = httpsTransport({ server: `https://127.0.0.1:${port}`, ca: ca.cert, cert: admin.cert, key: admin.key })
    const api = newClient(transport, { userAgent: 'bench', timeoutMs: 10_000 })
    await until(() => api.raw('GET', '/api/v1/namespaces/default').then(() => true, () => false), 'kube-apiserver is ready') // prettier-ignore
    // Their usual ports may be those of coxswain's own.
    const silent = ['--port=0', '--secure-port=0']
    start('kube-controller-manager', [
      `--kubeconfig=${config}`,
      `--service-account-private-key-file=${key}`,
      `--root-ca-file=${caFile}`,
      ...silent,
    ])
    start('kube-scheduler', [`--kubeconfig=${config}`, ...silent])
    return {
      url: `https://127.0.0.1:${port}`,
      authorization: `Bearer ${token}`,
      client: api,
      pids: children.map(child => child.pid!),
      async stop() {
        transport.close()
        await stop()
      },
    }
  } catch (e) {
    const log = await readFile(path.join(dir, 'kube-apiserver.log'), 'utf8').catch(() => '')
    await stop()
    throw new Error(`${(e as Error).message}\n${log.slice(-1000)}`)
  }
}
