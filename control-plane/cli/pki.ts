/** The cluster's certificate authority, its certificates and the service-account key pair: P-256, made once, kept in the state directory. */
import { X509Certificate, generateKeyPairSync, webcrypto } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import * as x509 from '@peculiar/x509'
import { writeAtomically, type StateDir } from './state.ts'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const year = 365 * 24 * 3600 * 1000

interface Pair {
  cert: string
  key: string
}
interface Subject {
  commonName: string
  organization?: string
  /** Server certificates carry these; client certificates none. */
  names?: { dns: string[]; ips: string[] }
}

const pem = (label: string, der: ArrayBuffer): string => `-----BEGIN ${label}-----\n${Buffer.from(der).toString('base64').replace(/(.{64})(?!$)/g, '$1\n')}\n-----END ${label}-----\n`
const exportKey = async (key: webcrypto.CryptoKey): Promise<string> => pem('PRIVATE KEY', await webcrypto.subtle.exportKey('pkcs8', key))
const serial = (): string => Buffer.from(webcrypto.getRandomValues(new Uint8Array(15))).toString('hex').replace(/^./, '1')

async function makeAuthority(): Promise<Pair> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: 'CN=coxswain-ca',
    notBefore: new Date(Date.now() - 3600_000),
    notAfter: new Date(Date.now() + 10 * year),
    signingAlgorithm: algorithm,
    keys,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true), new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign | x509.KeyUsageFlags.digitalSignature, true), await x509.SubjectKeyIdentifierExtension.create(keys.publicKey)],
  })
  return { cert: `${cert.toString('pem')}\n`, key: await exportKey(keys.privateKey) }
}

async function sign(authority: Pair, subject: Subject): Promise<Pair> {
  const issuer = new x509.X509Certificate(authority.cert)
  const signingKey = await webcrypto.subtle.importKey('pkcs8', x509.PemConverter.decodeFirst(authority.key), algorithm, false, ['sign'])
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const usage = subject.names ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth
  const cert = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: [...(subject.organization ? [{ O: [subject.organization] }] : []), { CN: [subject.commonName] }],
    issuer: issuer.subject,
    notBefore: new Date(Date.now() - 3600_000),
    notAfter: new Date(Date.now() + 2 * year),
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([usage]),
      ...(subject.names ? [new x509.SubjectAlternativeNameExtension([...subject.names.dns.map(value => ({ type: 'dns' as const, value })), ...subject.names.ips.map(value => ({ type: 'ip' as const, value }))])] : []),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  })
  return { cert: `${cert.toString('pem')}\n`, key: await exportKey(keys.privateKey) }
}

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
  const ca = load(dir, 'ca') ?? save(dir, 'ca', await makeAuthority())
  const names = { dns: ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'], ips: serverIPs }
  const ensure = async (name: string, subject: Subject): Promise<Pair> => {
    const had = load(dir, name)
    return had && stillGood(had, subject.names) ? had : save(dir, name, await sign(ca, subject))
  }
  const [admin] = await Promise.all([
    ensure('admin', { commonName: 'kubernetes-admin', organization: 'system:masters' }),
    ensure('apiserver', { commonName: 'kube-apiserver', names }),
  ])
  if (!existsSync(path.join(dir.pki, 'sa.key'))) {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256', privateKeyEncoding: { type: 'pkcs8', format: 'pem' }, publicKeyEncoding: { type: 'spki', format: 'pem' } })
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
