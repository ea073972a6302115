/**
 * Signs the ConfigMap cluster-info with each bootstrap token, so that who has one knows that it is this cluster's:
 * pkg/controller/bootstrap/bootstrapsigner.go
 */
import type { Secret } from '#shared/api/core/secret.ts'
import { configMaps, secrets } from '#shared/api/kinds.ts'
import { source } from '#shared/client/controller.ts'
import { detachedSignature } from '#shared/certificates/detachedsignature.ts'
import {
  bootstrapTokenPrefix,
  bootstrapTokenType,
  clusterInfo,
  expiryOf,
  isFor,
  signaturePrefix,
  tokenData,
} from '#shared/machinery/bootstraptoken.ts'
import { isConflict, isNotFound } from '#shared/machinery/status.ts'
import type { NewController } from '../context.ts'

const signs = (s: Secret, now: number): boolean =>
  s.metadata.namespace === 'kube-system' &&
  s.metadata.name === bootstrapTokenPrefix + tokenData(s, 'token-id') &&
  tokenData(s, 'token-secret') !== '' &&
  isFor(s, 'signing') &&
  expiryOf(s) > now

export const bootstrapSigner: NewController = ctx => {
  const tokens = ctx.informer(secrets, { fieldSelector: `type=${bootstrapTokenType}` })
  const infos = ctx.informer(configMaps, { name: clusterInfo })
  return {
    name: 'bootstrap-signer-controller',
    client: ctx.as('bootstrap-signer'),
    workers: 1,
    sources: [source(tokens, () => ['']), source(infos, () => [''])],
    async reconcile(_, client) {
      const info = infos.get('kube-public', clusterInfo)
      const text = info?.data?.['kubeconfig']
      if (!info || text === undefined) return
      const data: { [key: string]: string } = {}
      for (const [key, value] of Object.entries(info.data ?? {})) if (!key.startsWith(signaturePrefix)) data[key] = value as string
      const now = Date.now()
      for (const secret of tokens.list().filter(s => signs(s, now))) {
        const id = tokenData(secret, 'token-id')
        data[signaturePrefix + id] = await detachedSignature(text, id, tokenData(secret, 'token-secret'))
      }
      const same = Object.keys({ ...data, ...info.data }).every(key => data[key] === info.data?.[key])
      if (same) return
      try {
        await client.update(configMaps, { ...info, data })
      } catch (e) {
        if (!isNotFound(e) && !isConflict(e)) throw e
      }
    },
    log: ctx.log,
  }
}
