/**
 * The cluster's certificate authority, its certificates and the service-account key pair: P-256, made once, kept in the state directory.
 */
import { X509Certificate, generateKeyPairSync } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { Pair, Subject } from './certificate.ts'
import { writeAtomically, type StateDir } from './state.ts'

const load = (dir: StateDir, name: string): Pair | undefined => {
  const [cert, key] = [path.join(dir.pki, `${name}.crt`), path.join(dir.pki, `${name}.key`)]
  return existsSync(cert) && existsSync(key) ? { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') } : undefined
}
const save = (dir: StateDir, name: string, pair: Pair): Pair => {
  writeAtomically(path.join(dir.pki, `${name}.key`), pair.key)
  writeAtomically(path.join(dir.pki, `${name}.crt`), pair.cert, 0o644)
  return pair
}

/** Whether a certificate stays valid for another month and covers these names. */
function stillGood(pair: Pair, names: { dns: string[]; ips: string[] } | undefined): boolean {
  const cert = new X509Certificate(pair.cert)
  if (Date.parse(cert.validTo) < Date.now() + 30 * 24 * 3600_000) return false
  return [...(names?.dns ?? []).map(n => cert.checkHost(n)), ...(names?.ips ?? []).map(ip => cert.checkIP(ip))].every(Boolean)
}

/** Makes what is missing or about to expire; `serverIPs` are the addresses clients reach the API server at. */
export async function ensureCertificates(dir: StateDir, serverIPs: string[]): Promise<{ ca: Pair; admin: Pair }> {
  const ca = load(dir, 'ca') ?? save(dir, 'ca', await (await import('./certificate.ts')).makeAuthority())
  const names = {
    dns: ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'],
    ips: serverIPs,
  }
  const ensure = async (name: string, subject: Subject): Promise<Pair> => {
    const had = load(dir, name)
    return had && stillGood(had, subject.names) ? had : save(dir, name, await (await import('./certificate.ts')).sign(ca, subject))
  }
  const [admin] = await Promise.all([
    ensure('admin', { commonName: 'kubernetes-admin', organization: 'system:masters' }),
    ensure('apiserver', { commonName: 'kube-apiserver', names }),
  ])
  if (!existsSync(path.join(dir.pki, 'sa.key'))) {
    const { privateKey, publicKey } = generateKeyPairSync('ec', {
      namedCurve: 'P-256',
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    })
    writeAtomically(path.join(dir.pki, 'sa.pub'), publicKey, 0o644)
    writeAtomically(path.join(dir.pki, 'sa.key'), privateKey)
  }
  return { ca, admin }
}

/** The kubeconfig of the cluster's administrator, credentials inside. */
export function kubeconfig(port: number, ca: Pair, admin: Pair): string {
  const b64 = (text: string): string => Buffer.from(text).toString('base64')
  return `apiVersion: v1
kind: Config
clusters:
- name: coxswain
  cluster:
    certificate-authority-data: ${b64(ca.cert)}
    server: https://127.0.0.1:${port}
users:
- name: kubernetes-admin
  user:
    client-certificate-data: ${b64(admin.cert)}
    client-key-data: ${b64(admin.key)}
contexts:
- name: coxswain
  context:
    cluster: coxswain
    user: kubernetes-admin
current-context: coxswain
`
}
