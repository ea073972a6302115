/** `cox token create`: what kubeadm makes so that a machine with nothing but a token can become a node. */
import { randomInt } from 'node:crypto'
import { configMaps, roleBindings, roles, secrets } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { Client } from '#shared/client/client.ts'
import { bootstrapCreds } from '#shared/bus/credentials.ts'
import { bootstrapTokenPrefix, bootstrapTokenType, clusterInfo } from '#shared/machinery/bootstraptoken.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { nodeSignerOf } from './files.ts'
import { natsUrl } from './components.ts'
import { ensure } from './ensure.ts'
import { offerControlPlane } from './controlplanejoin.ts'
import { hashOf } from './join.ts'
import { joinConfigOf, publishJoinConfig } from './joinconfig.ts'
import { authorityCertificate } from './pki.ts'
import { addressesOf, requireCluster, type StateDir } from './state.ts'

const letters = 'abcdefghijklmnopqrstuvwxyz0123456789'
const random = (length: number): string => Array.from({ length }, () => letters[randomInt(letters.length)]).join('')

const rbac = 'rbac.authorization.k8s.io'

/** Everybody may see where the cluster is and what its authority is. */
async function publishClusterInfo(client: Client, server: string, ca: string): Promise<void> {
  const name = 'kubeadm:bootstrap-signer-clusterinfo'
  const rules = [{ apiGroups: [''], resources: ['configmaps'], resourceNames: [clusterInfo], verbs: ['get'] }]
  await ensure(client, roles, 'kube-public', { metadata: { name }, rules })
  const subjects = [{ kind: 'User', apiGroup: rbac, name: 'system:anonymous' }]
  await ensure(client, roleBindings, 'kube-public', { metadata: { name }, roleRef: { kind: 'Role', apiGroup: rbac, name }, subjects })
  const kubeconfig = `apiVersion: v1
kind: Config
clusters:
- name: ""
  cluster:
    certificate-authority-data: ${Buffer.from(ca).toString('base64')}
    server: ${server}
contexts: null
current-context: ""
users: null
`
  await ensure(client, configMaps, 'kube-public', { metadata: { name: clusterInfo }, data: { kubeconfig } })
}

/**
 * A new token, good for `ttlMs`, with which machines can join the cluster at `server` whose authority is `ca`. Deleting its Secret ends it.
 */
export async function createToken(client: Client, { ttlMs, server, ca }: { ttlMs: number; server: string; ca: string }): Promise<string> {
  await publishClusterInfo(client, server, ca)
  const [id, secret] = [random(6), random(16)]
  await client.create<KubeObject>(secrets as Kind, 'kube-system', {
    metadata: { name: bootstrapTokenPrefix + id },
    type: bootstrapTokenType,
    stringData: {
      'token-id': id,
      'token-secret': secret,
      expiration: formatTime(new Date(Date.now() + ttlMs)),
      'usage-bootstrap-authentication': 'true',
      'usage-bootstrap-signing': 'true',
    },
  } as unknown as KubeObject)
  return `${id}.${secret}`
}

/**
 * What says where a cluster is and who may ask it: nats-servers, token, authority, and a NATS user that may do nothing but ask with the
 * token.
 */
async function joinArguments(dir: StateDir, token: string, ttlMs: number): Promise<{ servers: string; others: string }> {
  const at = addressesOf(requireCluster(dir))
  joinConfigOf(at)
  const { address, port } = at.listen!
  const servers = natsUrl({ nats: { ...at.nats, host: address, port } })
  const [id = ''] = token.split('.')
  const { jwt, seed } = await bootstrapCreds(nodeSignerOf(dir), id, Math.floor((Date.now() + ttlMs) / 1000))
  return { servers, others: `--token ${token} --ca-cert-hash ${hashOf(authorityCertificate(dir))} --nats-user ${jwt}.${seed}` }
}

/**
 * What makes another machine a node of this cluster, as `kubeadm token create --print-join-command` prints it. Writes what such a machine
 * asks for.
 */
export async function joinCommand(dir: StateDir, client: Client, token: string, ttlMs: number): Promise<string> {
  const { servers, others } = await joinArguments(dir, token, ttlMs)
  const cluster = requireCluster(dir)
  await publishJoinConfig(client, joinConfigOf(addressesOf(cluster)), cluster.joined !== undefined)
  return `cox node join --server ${servers} ${others}`
}

/** What adds another machine to the control plane, as above with kubeadm's `--certificate-key`. */
export async function controlPlaneCommand(dir: StateDir, client: Client, token: string, ttlMs: number): Promise<string> {
  const { servers, others } = await joinArguments(dir, token, ttlMs)
  const key = await offerControlPlane(dir, client, token.split('.')[0]!)
  return `cox up --join ${servers} ${others} --certificate-key ${key}`
}
