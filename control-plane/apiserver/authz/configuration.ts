/**
 * `--authorization-config`: apiserver.config.k8s.io/v1 AuthorizationConfiguration, which names who is asked whether somebody may do
 * something, in turn. k8s.io/apiserver/pkg/apis/apiserver/validation
 */
import { statSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { typeMeta } from '#shared/api/meta/objectmeta.ts'
import { parseDuration } from '#shared/machinery/duration.ts'
import { duplicate, invalid, notSupported, Path, required, tooMany, type FieldError } from '#shared/machinery/field.ts'
import { isDNS1123Subdomain } from '#shared/machinery/names.ts'
import { bool, duration, list, obj, opt, req, str, type Infer } from '#shared/machinery/schema.ts'
import type { ConfigKind } from '#shared/component/configfile.ts'
import { compileCondition } from './matchconditions.ts'

const name = (kind: string): string => `io.k8s.apiserver.pkg.apis.apiserver.v1.${kind}`
const connectionInfo = obj(name('WebhookConnectionInfo'), '', () => ({
  type: opt(1, str()),
  kubeConfigFile: opt(2, str(), { pointer: true }),
}))
const matchCondition = obj(name('WebhookMatchCondition'), '', () => ({ expression: req(1, str()) }))
const webhook = obj(name('WebhookConfiguration'), '', () => ({
  authorizedTTL: opt(1, duration()),
  cacheAuthorizedRequests: opt(2, bool()),
  unauthorizedTTL: opt(3, duration()),
  cacheUnauthorizedRequests: opt(4, bool()),
  timeout: opt(5, duration()),
  subjectAccessReviewVersion: opt(6, str()),
  matchConditionSubjectAccessReviewVersion: opt(7, str()),
  failurePolicy: opt(8, str()),
  connectionInfo: opt(9, connectionInfo),
  matchConditions: opt(10, list(matchCondition)),
}))
const authorizer = obj(name('AuthorizerConfiguration'), '', () => ({
  type: opt(1, str()),
  name: opt(2, str()),
  webhook: opt(3, webhook, { pointer: true }),
}))
const schema = obj(name('AuthorizationConfiguration'), '', () => ({
  ...typeMeta(),
  authorizers: opt(1, list(authorizer)),
}))
export type AuthorizationConfiguration = Infer<typeof schema>
export type AuthorizerConfiguration = Infer<typeof authorizer>
export type WebhookConfiguration = Infer<typeof webhook>

/** What `type` may be. */
export const authorizerTypes = ['AlwaysAllow', 'AlwaysDeny', 'Node', 'RBAC', 'Webhook'] as const

export const authorizationConfiguration: ConfigKind<typeof schema> = {
  kind: 'AuthorizationConfiguration',
  apiVersion: 'apiserver.config.k8s.io/v1',
  also: ['apiserver.config.k8s.io/v1beta1', 'apiserver.config.k8s.io/v1alpha1'],
  schema,
  validate,
}

/** Of one text, ms; the zero duration when it is absent. */
export const msOf = (text: string | undefined): number => parseDuration(text ?? '0') ?? 0

function validate({ authorizers = [] }: AuthorizationConfiguration): FieldError[] {
  const at = new Path('authorizers')
  if (authorizers.length === 0) return [required(at, 'at least one authorization mode must be defined')]
  const types = new Set<string>()
  const names = new Set<string>()
  return authorizers.flatMap((a, i) => validateAuthorizer(a, at.index(i), types, names))
}

function validateAuthorizer(a: AuthorizerConfiguration, at: Path, types: Set<string>, names: Set<string>): FieldError[] {
  const { type = '', name: given = '', webhook: hook } = a
  if (type === '') return [required(at.child('type'))]
  if (!authorizerTypes.some(t => t === type)) return [notSupported(at.child('type'), type, authorizerTypes)]
  if (types.has(type) && type !== 'Webhook') return [duplicate(at.child('type'), type)]
  types.add(type)
  const errors: FieldError[] = []
  if (given === '') errors.push(required(at.child('name')))
  else if (names.has(given)) errors.push(duplicate(at.child('name'), given))
  else {
    const why = isDNS1123Subdomain(given)
    if (why.length > 0) errors.push(invalid(at.child('name'), given, `authorizer name is invalid: ${why.join(', ')}`))
  }
  names.add(given)
  if (type !== 'Webhook')
    return hook ? [...errors, invalid(at.child('webhook'), 'non-null', 'may only be specified when type=Webhook')] : errors
  return [...errors, ...(hook ? validateWebhook(hook, at) : [required(at.child('webhook'), 'required when type=Webhook')])]
}

/** Upstream's paths leave `webhook` out. */
function validateWebhook(hook: WebhookConfiguration, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const timeout = msOf(hook.timeout)
  if (timeout === 0) errors.push(required(at.child('timeout')))
  else if (timeout > 30_000 || timeout < 0) errors.push(invalid(at.child('timeout'), hook.timeout, 'must be > 0s and <= 30s'))
  for (const field of ['authorizedTTL', 'unauthorizedTTL'] as const)
    if (msOf(hook[field]) < 0) errors.push(invalid(at.child(field), hook[field], 'must be > 0s'))
  const oneOf = (field: 'subjectAccessReviewVersion' | 'failurePolicy', values: readonly string[]): void => {
    const value = hook[field] ?? ''
    if (value === '') errors.push(required(at.child(field)))
    else if (!values.includes(value)) errors.push(notSupported(at.child(field), value, values))
  }
  oneOf('subjectAccessReviewVersion', ['v1', 'v1beta1'])
  const { matchConditions = [], matchConditionSubjectAccessReviewVersion: version = '' } = hook
  const versionAt = at.child('matchConditionSubjectAccessReviewVersion')
  if (version === '' && matchConditions.length > 0) errors.push(required(versionAt, 'required if match conditions are specified'))
  else if (version !== '' && version !== 'v1') errors.push(notSupported(versionAt, version, ['v1']))
  oneOf('failurePolicy', ['NoOpinion', 'Deny'])
  return [...errors, ...validateConnection(hook, at.child('connectionInfo')), ...validateConditions(hook, at.child('matchConditions'))]
}

function validateConnection({ connectionInfo: info }: WebhookConfiguration, at: Path): FieldError[] {
  const { type = '', kubeConfigFile: file } = info ?? {}
  const fileAt = at.child('kubeConfigFile')
  // In the cluster itself it is this server that would be asked.
  if (type === '') return [required(at.child('type'))]
  if (type === 'InClusterConfig') return file === undefined ? [] : [invalid(fileAt, file, 'can only be set when type=KubeConfigFile')]
  if (type !== 'KubeConfigFile') return [notSupported(at.child('type'), type, ['InClusterConfig', 'KubeConfigFile'])]
  if (!file) return [required(fileAt)]
  if (!isAbsolute(file)) return [invalid(fileAt, file, 'must be an absolute path')]
  try {
    return statSync(file).isFile() ? [] : [invalid(fileAt, file, 'must be a regular file')]
  } catch (e) {
    return [invalid(fileAt, file, `error loading file: ${(e as Error).message}`)]
  }
}

function validateConditions({ matchConditions = [] }: WebhookConfiguration, at: Path): FieldError[] {
  if (matchConditions.length > 64) return [tooMany(at, matchConditions.length, 64)]
  const seen = new Set<string>()
  return matchConditions.flatMap(({ expression }, i) => {
    const here = at.index(i).child('expression')
    if (expression.trim() === '') return [required(here)]
    if (seen.has(expression)) return [duplicate(here, expression)]
    seen.add(expression)
    const compiled = compileCondition(expression)
    return 'error' in compiled ? [invalid(here, expression, compiled.error)] : []
  })
}
