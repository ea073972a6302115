/**
 * How another machine comes to be of the control plane: `cox token create --control-plane` on the first one, `cox up --join` there. What it
 * has to have (authorities and their keys, the key of service accounts, how Secrets are encrypted, NATS users of its own) waits in a Secret
 * that ends with the token.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import path from 'node:path'
import * as z from 'zod'
import { roleBindings, roles, secrets } from '#shared/api/kinds.ts'
import type { Secret } from '#shared/api/core/secret.ts'
import { mintCreds, registryIdentity, apiserverIdentity, bootstrapIdentity, userClaims } from '#shared/bus/credentials.ts'
import type { Client } from '#shared/client/client.ts'
import { bootstrapTokenPrefix } from '#shared/machinery/bootstraptoken.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { newCertificateKey, seal, unseal } from './certificatekey.ts'
import { ensure } from './ensure.ts'
import { authorityOf, nodeSignerFile } from './files.ts'
import { freePort } from './freeport.ts'
import { machineAddress } from './host-node.ts'
import { askByNats, type JoiningByNats } from './join.ts'
import { editCluster } from './local-cluster.ts'
import { leavePlace, vacatePlace, type Left } from './natsplaces.ts'
import { revokeKeys } from './revoke.ts'
import { makeStateDir, readCluster, requireCluster, writeAtomically, writeCluster, type Cluster, type StateDir } from './state.ts'

const namespace = 'kube-system'
const secretOf = (tokenId: string): string => `coxswain-control-plane-${tokenId}`
const bundleKey = 'bundle'

/** NATS users that such a machine has. */
const identities = [
  ...[registryIdentity, apiserverIdentity, 'system:kube-controller-manager', 'system:kube-scheduler'],
  'system:cloud-controller-manager',
]
const keys = ['ca.crt', 'ca.key', 'sa.key', 'sa.pub', 'front-proxy-ca.crt', 'front-proxy-ca.key', 'encryption.yaml']
/** Settings of components that are the same everywhere, and those of them that are files. */
const settings = [
  'controllers',
  'enableAdmissionPlugins',
  'disableAdmissionPlugins',
  'featureGates',
  'metricsServer',
  'cloudProvider',
] as const
const files = ['auditPolicy', 'auditWebhookConfig', 'authenticationConfig', 'authorizationConfig', 'schedulerConfig'] as const

/** Of the cluster, and files by their places below the state directory. */
const bundleSchema = z.object({
  cluster: z.looseObject({ index: z.number().int(), listen: z.looseObject({ address: z.ipv4(), port: z.number().int() }) }),
  files: z.record(z.string().regex(/^(pki|creds|nats|config)\/\w[\w:.-]*$/), z.string()),
})
type Bundle = z.infer<typeof bundleSchema>

/** Resolves with the bundle, and with the public keys of the NATS users that were made for it. */
async function bundleOf(dir: StateDir, cluster: Cluster): Promise<{ bundle: Bundle; users: string[] }> {
  const authority = await authorityOf(dir)
  const found: Bundle['files'] = {}
  const add = (place: string, file: string): void => {
    if (existsSync(file)) found[place] = readFileSync(file, 'utf8')
  }
  for (const name of keys) add(`pki/${name}`, path.join(dir.pki, name))
  add('nats/node-signer.json', nodeSignerFile(dir))
  for (const name of files) if (cluster[name] !== undefined) add(`config/${name}`, cluster[name])
  const users: string[] = []
  for (const identity of identities) {
    const creds = await mintCreds(authority, identity)
    found[`creds/${identity}.creds`] = creds
    users.push(userClaims(creds)!.sub!)
  }
  const { index, listen, natsServers, natsAt } = cluster
  const same = Object.fromEntries([...settings].map(name => [name, cluster[name]]))
  return { bundle: { cluster: { index, listen: listen!, natsServers, natsAt, ...same }, files: found }, users }
}

const issuedSchema = z.record(z.string(), z.array(z.string()))
/** NATS users that were made for other machines, by the id of the token that they came with. */
const issuedFile = (dir: StateDir): string => path.join(dir.nats, 'control-planes.json')
const issuedOf = (dir: StateDir): z.infer<typeof issuedSchema> =>
  existsSync(issuedFile(dir)) ? issuedSchema.parse(JSON.parse(readFileSync(issuedFile(dir), 'utf8'))) : {}

/**
 * Lets who has the token and the key that this resolves with be of the control plane. The Secret and the right to read it belong to the
 * token's Secret: they end with it.
 */
export async function offerControlPlane(dir: StateDir, client: Client, tokenId: string): Promise<string> {
  const { bundle, users } = await bundleOf(dir, requireCluster(dir))
  // Before anybody can have them.
  writeAtomically(issuedFile(dir), JSON.stringify({ ...issuedOf(dir), [tokenId]: users }))
  const token: Secret = await client.get(secrets, namespace, bootstrapTokenPrefix + tokenId)
  const name = secretOf(tokenId)
  const owner = { apiVersion: 'v1', kind: 'Secret', name: token.metadata.name!, uid: token.metadata.uid! }
  const metadata = { name, ownerReferences: [owner] }
  const apiGroup = 'rbac.authorization.k8s.io'
  const key = newCertificateKey()
  const data = { [bundleKey]: seal(key, tokenId, JSON.stringify(bundle)).toString('base64') }
  await ensure(client, roles, namespace, {
    metadata,
    rules: [{ apiGroups: [''], resources: ['secrets'], resourceNames: [name], verbs: ['get'] }],
  })
  const subjects = [{ kind: 'User', apiGroup, name: bootstrapIdentity(tokenId) }]
  await ensure(client, roleBindings, namespace, { metadata, roleRef: { kind: 'Role', apiGroup, name }, subjects })
  await ensure(client, secrets, namespace, { metadata, type: 'Opaque', data })
  await editCluster(dir, cluster => void (cluster.controlPlanes = true))
  return key
}

/**
 * Ends a token and, where a machine of the control plane came by it, that machine's NATS users, its nats-server before. Resolves with
 * whether there were such, and with the nats-server.
 */
export async function endToken(
  dir: StateDir,
  client: Client,
  url: string,
  tokenId: string,
): Promise<{ cut: boolean; left?: Left | undefined }> {
  const { [tokenId]: users, ...others } = issuedOf(dir)
  const left = users && (await leavePlace(dir, client, tokenId))
  await client.delete(secrets, namespace, bootstrapTokenPrefix + tokenId).catch((e: unknown) => {
    // It ends long before the machine that came by it.
    if (!users || !isNotFound(e)) throw e
  })
  if (!users) return { cut: false }
  await revokeKeys(dir, url, users, true)
  await vacatePlace(client, tokenId)
  writeAtomically(issuedFile(dir), JSON.stringify(others))
  return { cut: true, left }
}

export interface ControlPlaneJoining extends Omit<JoiningByNats, 'directory'> {
  certificateKey: string
  /** This machine's for others; default: that towards the server. */
  address?: string | undefined
  port?: number | undefined
}

/** Makes this state directory that of a machine of the control plane. */
export async function joinControlPlane(dir: StateDir, joining: ControlPlaneJoining): Promise<void> {
  if (readCluster(dir)) throw new Error(`there is a cluster in ${dir.root} already; \`cox up\` starts it`)
  makeStateDir(dir)
  const [tokenId = ''] = joining.token.split('.')
  const { found } = await askByNats({ ...joining, directory: dir.pki }, client => client.get(secrets, namespace, secretOf(tokenId)))
  const sealed = Buffer.from((found as Secret).data?.[bundleKey] ?? '', 'base64')
  const bundle = bundleSchema.parse(JSON.parse(unseal(joining.certificateKey, tokenId, sealed)))
  mkdirSync(path.join(dir.root, 'config'), { recursive: true, mode: 0o700 })
  for (const [place, text] of Object.entries(bundle.files)) writeAtomically(path.join(dir.root, place), text)
  const configured = files.filter(name => bundle.files[`config/${name}`] !== undefined)
  const { hostname: towards } = new URL(joining.server.split(',')[0]!)
  const address = joining.address ?? (await machineAddress(towards))
  const { natsAt = {}, ...cluster } = bundle.cluster as unknown as Cluster
  // What a former life of this machine had is not here.
  const others = Object.fromEntries(Object.entries(natsAt).filter(([, at]) => at !== address))
  // Last: from now on it is one.
  writeCluster(dir, {
    ...cluster,
    ...(Object.keys(others).length > 0 ? { natsAt: others } : {}),
    securePort: await freePort(joining.port ?? 6443, new Set()),
    instances: { 'kube-apiserver': 1, 'kube-controller-manager': 1, 'kube-scheduler': 1 },
    joined: { machine: `${hostname().toLowerCase()}-${tokenId}`, address, token: tokenId },
    ...Object.fromEntries(configured.map(name => [name, path.join(dir.root, 'config', name)])),
    nodes: [],
  })
  requireCluster(dir)
}
