/** `cox token create`: what kubeadm makes so that a machine with nothing but a token can become a node. */
import { randomInt } from 'node:crypto'
import { configMaps, roleBindings, roles, secrets } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { Client } from '#shared/client/client.ts'
import { bootstrapTokenPrefix, bootstrapTokenType, clusterInfo } from '#shared/machinery/bootstraptoken.ts'
import { isAlreadyExists } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'

const letters = 'abcdefghijklmnopqrstuvwxyz0123456789'
const random = (length: number): string => Array.from({ length }, () => letters[randomInt(letters.length)]).join('')

async function ensure<T>(
  client: Client,
  kind: Kind<T>,
  namespace: string,
  object: { metadata: { name: string }; [field: string]: unknown },
): Promise<void> {
  try {
    await client.create<KubeObject>(kind as Kind, namespace, object as unknown as KubeObject)
  } catch (e) {
    if (!isAlreadyExists(e)) throw e
  }
}

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

/** A new token, good for `ttlMs`, with which machines can join the cluster at `server` whose authority is `ca`. Deleting its Secret ends it. */
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
