/**
 * Says in the status of ValidatingAdmissionPolicies which expressions do not fit the types that they are for.
 * pkg/controller/validatingadmissionpolicystatus
 */
import type { MatchResources, ValidatingAdmissionPolicy } from '#shared/api/admissionregistration/validatingadmissionpolicy.ts'
import { validatingAdmissionPolicies } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import { discover, type Discovered } from '#shared/client/discovery.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { typeOfKind, type OpenApiDocument } from '../apiserver/admission/policy/openapitypes.ts'
import { expressionWarnings, type CheckedKind } from '../apiserver/admission/policy/typecheck.ts'
import type { NewController } from './context.ts'

/** Upstream checks no more kinds than that. */
const maxKinds = 10

interface Reference {
  readonly group: string
  readonly version: string
  readonly kind: string
}

export const validatingAdmissionPolicyStatusController: NewController = ctx => {
  const policies = ctx.informer(validatingAdmissionPolicies)
  const served = ctx.served()

  async function check(client: Client, { spec }: ValidatingAdmissionPolicy) {
    const documents = documentsOf(client)
    const kinds: CheckedKind[] = []
    for (const { group, version, kind } of await kindsFor(client, served.current, spec.matchConstraints)) {
      const type = typeOfKind(await documents(group, version), group, version, kind)
      if (type) kinds.push({ name: `${group}/${version}, Kind=${kind}`, type })
    }
    const { apiVersion = '', kind = '' } = spec.paramKind ?? {}
    const [version = '', group = ''] = apiVersion.split('/').reverse()
    const params = spec.paramKind && typeOfKind(await documents(group, version), group, version, kind)
    return expressionWarnings(spec, kinds, params)
  }

  return {
    name: 'validatingadmissionpolicy-status-controller',
    client: ctx.as('validatingadmissionpolicy-status-controller'),
    workers: 5,
    sources: [source(policies, e => (e.type === 'DELETED' ? [] : [keyOf(e.object)]))],
    async reconcile(key, client) {
      const policy = policies.get(...splitKey(key))
      const { generation = 0 } = policy?.metadata ?? {}
      if (!policy || generation <= (policy.status?.observedGeneration ?? 0)) return
      await served.known
      const warnings = await check(client, policy)
      const typeChecking = warnings.length > 0 ? { expressionWarnings: warnings.map(w => ({ ...w })) } : {}
      try {
        await client.update(
          validatingAdmissionPolicies,
          { ...policy, status: { ...policy.status, observedGeneration: generation, typeChecking } },
          'status',
        )
      } catch (e) {
        if (!isNotFound(e)) throw e
      }
    },
    log: ctx.log,
  }
}

/** Each document is asked for once; what has none is empty. */
function documentsOf(client: Client): (group: string, version: string) => Promise<OpenApiDocument> {
  const known = new Map<string, Promise<OpenApiDocument>>()
  return (group, version) => {
    const path = group === '' ? `/openapi/v3/api/${version}` : `/openapi/v3/apis/${group}/${version}`
    let document = known.get(path)
    if (!document) {
      document = client.raw<OpenApiDocument>('GET', path).catch((e: unknown) => {
        if (isNotFound(e)) return {}
        throw e
      })
      known.set(path, document)
    }
    return document
  }
}

/** The kinds that rules name, sorted; none of rules with a star. */
async function kindsFor(client: Client, known: readonly Discovered[], match: MatchResources | undefined): Promise<Reference[]> {
  const found = new Map<string, Reference>()
  let resources = known
  let isLive = false
  for (const { apiGroups = [], apiVersions = [], resources: plurals = [] } of match?.resourceRules ?? []) {
    if ([...apiGroups, ...apiVersions].some(name => name.includes('*'))) continue
    for (const group of [...apiGroups].sort())
      for (const version of [...apiVersions].sort())
        for (const plural of plurals.filter(p => !/[*/]/.test(p)).sort()) {
          const find = (): Discovered | undefined =>
            resources.find(k => k.group === group && k.plural === plural && k.versions.includes(version))
          // What has come just now may not be known yet.
          if (!find() && !isLive) {
            isLive = true
            resources = (await discover(client)).resources
          }
          const kind = find()?.kind
          if (kind !== undefined && found.size < maxKinds) found.set(`${group}/${version}/${kind}`, { group, version, kind })
        }
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, kind]) => kind)
}
