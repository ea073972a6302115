/**
 * The cluster's certificate authority, its certificates and the service-account key pair: P-256, made once, kept in the state directory.
 */
import { X509Certificate, createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { natsServerName } from '#shared/bus/tls.ts'
import { makeAuthority, sign, type Pair, type Subject } from '#shared/certificates/certificate.ts'
import { writeAtomically, type StateDir } from './state.ts'

const filesOf = (dir: StateDir, name: string): [cert: string, key: string] => [
  path.join(dir.pki, `${name}.crt`),
  path.join(dir.pki, `${name}.key`),
]

/** A certificate with its key; undefined when one of them is missing or damaged, or they do not belong together. */
export function load(dir: StateDir, name: string): Pair | undefined {
  try {
    const [cert = '', key = ''] = filesOf(dir, name).map(file => readFileSync(file, 'utf8'))
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key)) ? { cert, key } : undefined
  } catch {
    return undefined
  }
}

/** What clients were given names the authority: another takes its place only when somebody removed both of its files. */
function authorityOf(dir: StateDir, name = 'ca'): Pair {
  const ca = load(dir, name)
  if (ca) return ca
  const files = filesOf(dir, name)
  const there = files.filter(existsSync)
  if (there.length === 0) return save(dir, name, makeAuthority(`coxswain-${name}`))
  const lacking = files.find(file => !there.includes(file))
  throw new Error(
    `${lacking ? `${lacking} is missing` : `${files.join(' or ')} is damaged`}; restore it, or remove ${files.join(' and ')} to have others made`,
  )
}
const save = (dir: StateDir, name: string, pair: Pair): Pair => {
  writeAtomically(path.join(dir.pki, `${name}.key`), pair.key)
  writeAtomically(path.join(dir.pki, `${name}.crt`), pair.cert, 0o644)
  return pair
}

/** Whether a certificate is this authority's, stays valid for another month and covers these names. */
function stillGood(pair: Pair, names: { dns: string[]; ips: string[] } | undefined, ca: Pair): boolean {
  const cert = new X509Certificate(pair.cert)
  if (!cert.verify(new X509Certificate(ca.cert).publicKey)) return false
  if (Date.parse(cert.validTo) < Date.now() + 30 * 24 * 3600_000) return false
  return [...(names?.dns ?? []).map(n => cert.checkHost(n)), ...(names?.ips ?? []).map(ip => cert.checkIP(ip))].every(Boolean)
}

/** What the metrics server is called by API servers; it runs within the controller manager. */
const metricsServerName = 'metrics-server.kube-system.svc'
/** What API servers are to the servers of aggregated APIs, which believe them who asks. */
export const frontProxyName = 'front-proxy-client'

/**
 * Makes what is missing or about to expire; `serverIPs` are the addresses clients reach the API server at, `serving` the other components
 * that serve.
 */
export function ensureCertificates(
  dir: StateDir,
  serverIPs: string[],
  serving: readonly string[] = ['kube-controller-manager', 'kube-scheduler', 'cloud-controller-manager'],
): { ca: Pair; admin: Pair } {
  const ca = authorityOf(dir)
  const names = {
    dns: ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'],
    ips: serverIPs,
  }
  const ensure = (name: string, subject: Subject, by = ca): Pair => {
    const had = load(dir, name)
    return had && stillGood(had, subject.names, by) ? had : save(dir, name, sign(by, subject))
  }
  const admin = ensure('admin', { commonName: 'kubernetes-admin', organizations: ['system:masters'] })
  ensure('apiserver', { commonName: 'kube-apiserver', names })
  // An authority of its own: whom it vouches for may say of anybody that he asks.
  ensure(frontProxyName, { commonName: frontProxyName }, authorityOf(dir, 'front-proxy-ca'))
  for (const name of serving) ensure(name, { commonName: name, names: { dns: ['localhost', metricsServerName], ips: serverIPs } })
  ensureServiceAccountKey(dir)
  return { ca, admin }
}

/**
 * The files of the certificate of nats-servers that other machines reach, and of its key. The authority's certificate follows in the first:
 * by it a machine that joins knows the cluster. `ips`: where other nats-servers reach them, by which they know each other.
 */
export function ensureNatsCertificate(dir: StateDir, ips: string[] = []): { certFile: string; keyFile: string } {
  const ca = authorityOf(dir)
  const [certFile, keyFile] = filesOf(dir, natsServerName)
  const names = { dns: [natsServerName], ips }
  const had = load(dir, natsServerName)
  if (!had || !stillGood(had, names, ca)) {
    const { cert, key } = sign(ca, { commonName: natsServerName, names, peer: true })
    save(dir, natsServerName, { cert: `${cert.trimEnd()}\n${ca.cert}`, key })
  }
  return { certFile, keyFile }
}

/** The key pair that signs the tokens of service accounts. Throws when the key is damaged: with another one no token would be good. */
function ensureServiceAccountKey(dir: StateDir): void {
  const [privateFile, publicFile] = ['sa.key', 'sa.pub'].map(name => path.join(dir.pki, name)) as [string, string]
  if (!existsSync(privateFile)) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    writeAtomically(privateFile, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
  }
  let publicKey: string
  try {
    publicKey = createPublicKey(readFileSync(privateFile, 'utf8')).export({ type: 'spki', format: 'pem' }).toString()
  } catch {
    throw new Error(`${privateFile} is damaged; restore it, or remove it to have another made, for which all tokens are made anew`)
  }
  const had = existsSync(publicFile) ? readFileSync(publicFile, 'utf8') : ''
  if (had !== publicKey) writeAtomically(publicFile, publicKey, 0o644)
}

/** Whom a kubeconfig is for. */
export interface Login {
  readonly name: string
  readonly pair: Pair
  /** Where kubectl looks when it is told nothing else. */
  readonly namespace?: string | undefined
}

/** A new login: a client certificate of the cluster's authority. Throws when its key is not there. */
export function newLogin(dir: StateDir, name: string, groups: readonly string[], namespace?: string): Login {
  const ca = load(dir, 'ca')
  if (!ca) throw new Error(`the certificate authority in ${dir.pki} is missing or damaged`)
  const pair = sign(ca, { commonName: name, organizations: groups })
  return { name, pair, namespace }
}

/** A kubeconfig with its credentials inside. */
export function kubeconfig(port: number, caCert: string, { name, pair, namespace }: Login): string {
  const b64 = (text: string): string => Buffer.from(text).toString('base64')
  // In YAML a JSON string is a string.
  const user = JSON.stringify(name)
  return `apiVersion: v1
kind: Config
clusters:
- name: coxswain
  cluster:
    certificate-authority-data: ${b64(caCert)}
    server: https://127.0.0.1:${port}
users:
- name: ${user}
  user:
    client-certificate-data: ${b64(pair.cert)}
    client-key-data: ${b64(pair.key)}
contexts:
- name: coxswain
  context:
    cluster: coxswain
    user: ${user}${namespace === undefined ? '' : `\n    namespace: ${JSON.stringify(namespace)}`}
current-context: coxswain
`
}

/** The certificate of the cluster's authority. */
export const authorityCertificate = (dir: StateDir): string => readFileSync(filesOf(dir, 'ca')[0], 'utf8')
