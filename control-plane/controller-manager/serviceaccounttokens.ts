/**
 * Fills Secrets of type kubernetes.io/service-account-token with a token of the account that they name, and deletes them when there is no
 * such account. pkg/controller/serviceaccount/tokens_controller.go
 */
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { SignJWT } from 'jose'
import type { Secret } from '#shared/api/core/secret.ts'
import type { ServiceAccount } from '#shared/api/core/serviceaccount.ts'
import { secrets, serviceAccounts } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import { isConflict, isNotFound } from '#shared/machinery/status.ts'
import {
  accountNameAnnotation,
  accountUidAnnotation,
  keyIdOf,
  legacyIssuer,
  subjectOf,
  tokenSecretType,
  type LegacyClaims,
} from '#shared/machinery/serviceaccounttoken.ts'
import type { NewController } from './context.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')

/** What the Secret's data lack; undefined when they are complete. Values are in base64. */
export function missingData(secret: Secret, rootCa: string): { 'ca.crt'?: string; namespace?: string; token?: true } | undefined {
  const data = secret.data ?? {}
  const missing = {
    ...(rootCa && data['ca.crt'] !== base64(rootCa) ? { 'ca.crt': base64(rootCa) } : {}),
    ...(data['namespace'] ? {} : { namespace: base64(secret.metadata.namespace ?? '') }),
    ...(data['token'] ? {} : { token: true as const }),
  }
  return Object.keys(missing).length ? missing : undefined
}

export const serviceAccountTokenController: NewController = ctx => {
  const { serviceAccountKey, rootCa } = ctx.settings
  // As upstream: without a key nobody can make tokens.
  if (!serviceAccountKey) return []
  const key = createPrivateKey(serviceAccountKey)
  const kid = keyIdOf(createPublicKey(key))
  const tokens = ctx.informer(secrets, { fieldSelector: `type=${tokenSecretType}` })
  const accounts = ctx.informer(serviceAccounts)
  const accountKey = (s: Secret): string => `${s.metadata.namespace}/${s.metadata.annotations?.[accountNameAnnotation] ?? ''}`
  tokens.addIndex('account', s => [accountKey(s)])
  accounts.addIndex('secret', a => (a.secrets ?? []).map(s => `${a.metadata.namespace}/${s.name}`))

  const sign = (claims: LegacyClaims, subject: string): Promise<string> =>
    new SignJWT({ ...claims }).setProtectedHeader({ alg: 'ES256', kid }).setIssuer(legacyIssuer).setSubject(subject).sign(key)

  /** The account that the Secret names, by name and, when it says so, uid. */
  async function accountOf(client: Client, secret: Secret): Promise<ServiceAccount | undefined> {
    const [namespace, name] = splitKey(accountKey(secret))
    const uid = secret.metadata.annotations?.[accountUidAnnotation]
    const fits = (a: ServiceAccount | undefined) => (a && (!uid || a.metadata.uid === uid) ? a : undefined)
    // The cache may be behind: only the API can say that there is none.
    return (
      fits(accounts.get(namespace, name)) ??
      fits(
        await client.get(serviceAccounts, namespace, name).catch((e: unknown) => {
          if (!isNotFound(e)) throw e
          return undefined
        }),
      )
    )
  }

  async function fill(client: Client, cached: Secret, account: ServiceAccount): Promise<void> {
    if (!missingData(cached, rootCa)) return
    const { namespace = '', name = '' } = cached.metadata
    const secret = await client.get(secrets, namespace, name)
    const missing = missingData(secret, rootCa)
    // Another object, or another content, by now: its event brings it back here.
    if (!missing || secret.metadata.resourceVersion !== cached.metadata.resourceVersion) return
    const { name: accountName = '', uid = '' } = account.metadata
    const { token, ...data } = missing
    const claims: LegacyClaims = {
      'kubernetes.io/serviceaccount/namespace': namespace,
      'kubernetes.io/serviceaccount/secret.name': name,
      'kubernetes.io/serviceaccount/service-account.name': accountName,
      'kubernetes.io/serviceaccount/service-account.uid': uid,
    }
    const signed: { token?: string } = token ? { token: base64(await sign(claims, subjectOf(namespace, accountName))) } : {}
    await client.update(secrets, {
      ...secret,
      metadata: {
        ...secret.metadata,
        annotations: { ...secret.metadata.annotations, [accountNameAnnotation]: accountName, [accountUidAnnotation]: uid },
      },
      data: { ...secret.data, ...data, ...signed } as { [key: string]: string },
    })
  }

  /** Accounts do not name Secrets that are gone. */
  async function dereference(client: Client, namespace: string, name: string): Promise<void> {
    for (const cached of accounts.byIndex('secret', `${namespace}/${name}`)) {
      const account = await client.get(serviceAccounts, namespace, cached.metadata.name ?? '')
      if (account.metadata.uid !== cached.metadata.uid || !account.secrets?.some(s => s.name === name)) continue
      await client.update(serviceAccounts, { ...account, secrets: account.secrets.filter(s => s.name !== name) })
    }
  }

  return {
    name: 'serviceaccount-token-controller',
    client: ctx.client,
    workers: 5,
    sources: [
      source(tokens, e => [keyOf(e.object)]),
      source(accounts, function* (e) {
        for (const secret of tokens.byIndex('account', keyOf(e.object))) yield keyOf(secret)
      }),
    ],
    async reconcile(key, client) {
      const [namespace, name] = splitKey(key)
      const secret = tokens.get(namespace, name)
      try {
        if (!secret) return await dereference(client, namespace, name)
        if (secret.metadata.deletionTimestamp) return
        const account = await accountOf(client, secret)
        if (account) return await fill(client, secret, account)
        const { uid } = secret.metadata
        ctx.log.info({ namespace, secret: name }, 'deleting a token of a service account that does not exist')
        await client.delete(secrets, namespace, name, uid ? { preconditions: { uid } } : {})
      } catch (e) {
        if (isNotFound(e) || (isConflict(e) && secret)) return
        throw e
      }
    },
    log: ctx.log,
  }
}
