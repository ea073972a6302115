/**
 * apiserver.config.k8s.io/v1 EncryptionConfiguration: which resources are stored encrypted, and with what. The first provider of a resource
 * writes, all of them read. https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/
 */
import { typeMeta } from '#shared/api/meta/objectmeta.ts'
import { Path, forbidden, invalid, required, type FieldError } from '#shared/machinery/field.ts'
import { duration, int32, list, obj, opt, req, str, type Infer } from '#shared/machinery/schema.ts'
import { parseDuration } from '#shared/machinery/duration.ts'
import type { ConfigKind } from '#shared/component/configfile.ts'

const name = (kind: string): string => `io.k8s.apiserver.config.v1.${kind}`
const keySchema = obj(name('Key'), '', () => ({ name: req(1, str()), secret: req(2, str()) }))
const keysSchema = obj(name('Keys'), '', () => ({ keys: req(1, list(keySchema)) }))
const kmsSchema = obj(name('KMSConfiguration'), '', () => ({
  apiVersion: opt(1, str(), { default: 'v1' }),
  name: req(2, str()),
  cachesize: opt(3, int32()),
  endpoint: req(4, str()),
  timeout: opt(5, duration(), { default: '3s' }),
}))
const providerSchema = obj(name('ProviderConfiguration'), '', () => ({
  aesgcm: opt(1, keysSchema, { pointer: true }),
  aescbc: opt(2, keysSchema, { pointer: true }),
  secretbox: opt(3, keysSchema, { pointer: true }),
  identity: opt(
    4,
    obj(name('IdentityConfiguration'), '', () => ({})),
    { pointer: true },
  ),
  kms: opt(5, kmsSchema, { pointer: true }),
}))
const resourceSchema = obj(name('ResourceConfiguration'), '', () => ({
  resources: req(1, list(str())),
  providers: req(2, list(providerSchema)),
}))
const schema = obj(name('EncryptionConfiguration'), '', () => ({ ...typeMeta(), resources: req(1, list(resourceSchema)) }))
export type EncryptionConfiguration = Infer<typeof schema>
export type Key = Infer<typeof keySchema>
export type KmsConfiguration = Infer<typeof kmsSchema>
export type ProviderConfiguration = Infer<typeof providerSchema>

export const encryptionConfiguration: ConfigKind<typeof schema> = {
  kind: 'EncryptionConfiguration',
  apiVersion: 'apiserver.config.k8s.io/v1',
  schema,
  validate,
}

/** A resource as the file names it: `secrets`, `deployments.apps`, `*.apps`, `*.` (the core group), `*.*`. */
export interface GroupResource {
  readonly group: string
  readonly resource: string
}
export function parseGroupResource(text: string): GroupResource {
  const at = text.indexOf('.')
  return at < 0 ? { group: '', resource: text } : { group: text.slice(at + 1), resource: text.slice(0, at) }
}

const root = new Path('resources')
const aesKeySizes = [16, 24, 32]
const secretboxKeySizes = [32]

/** The rules of k8s.io/apiserver/pkg/apis/apiserver/validation, and that no rule masks a later one. */
function validate({ resources }: EncryptionConfiguration): FieldError[] {
  if (resources.length === 0) return [required(root, 'at least one resources is required')]
  const names = new Set<string>()
  const errors = resources.flatMap((conf, i) => {
    const [r, p] = [root.index(i).child('resources'), root.index(i).child('providers')]
    return [
      ...(conf.resources.length === 0 ? [required(r, `at least one ${r} is required`)] : []),
      ...overlaps(conf.resources, r),
      ...conf.resources.flatMap((resource, j) => resourceName(resource, r.index(j))),
      ...(conf.providers.length === 0 ? [required(p, `at least one ${p} is required`)] : []),
      ...conf.providers.flatMap((provider, j) => validateProvider(provider, p.index(j), names)),
    ]
  })
  return [...errors, ...masked(resources)]
}

function overlaps(resources: readonly string[], at: Path): FieldError[] {
  const all = resources.map(parseGroupResource)
  const overlap = all.some((a, i) =>
    all.some(
      (b, j) =>
        i !== j &&
        resources[i] !== resources[j] &&
        ((a.group === '*' && a.resource === '*') || (a.group === b.group && (a.resource === '*' || b.resource === '*'))),
    ),
  )
  return [
    ...(new Set(resources).size < resources.length ? [invalid(at, resources, 'the same resource cannot be specified multiple times')] : []),
    ...(overlap
      ? [
          invalid(
            at,
            resources,
            "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked",
          ),
        ]
      : []),
  ]
}

const withoutApi = new Set(['apiserveripinfo', 'serviceipallocations', 'servicenodeportallocations'])

function resourceName(text: string, at: Path): FieldError[] {
  const wrong = (why: string): FieldError[] => [invalid(at, text, why)]
  if (text.toLowerCase() !== text) return wrong('resource name should not contain capital letters')
  if (text === '*') return wrong("use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources")
  if (withoutApi.has(text)) return wrong('resources which do not have REST API/s cannot be encrypted')
  const { group, resource } = parseGroupResource(text)
  if (group === 'events.k8s.io')
    return wrong("'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file")
  if (group === 'extensions') return wrong("'extensions' group has been removed and cannot be used for encryption")
  if (group === '*' && resource !== '*') return wrong('encrypting the same resource across groups is not supported')
  return []
}

/** An earlier wildcard decides: a later rule for what it covers would do nothing. */
function masked(resources: EncryptionConfiguration['resources']): FieldError[] {
  const seen = new Set<string>()
  return resources.flatMap((conf, i) =>
    conf.resources.flatMap((text, j) => {
      const { group } = parseGroupResource(text)
      const by = [`*.${group}`, '*.*'].find(wildcard => seen.has(wildcard))
      seen.add(text)
      const at = root.index(i).child('resources').index(j)
      return by === undefined ? [] : [invalid(at, text, `resource ${JSON.stringify(text)} is masked by earlier rule ${JSON.stringify(by)}`)]
    }),
  )
}

function validateProvider(provider: ProviderConfiguration, at: Path, names: Set<string>): FieldError[] {
  const kinds = (['kms', 'aesgcm', 'aescbc', 'secretbox', 'identity'] as const).filter(kind => provider[kind] !== undefined)
  // Its keys are not for anybody's eyes.
  if (kinds.length === 0)
    return [invalid(at, {}, 'provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity')]
  if (kinds.length > 1)
    return [invalid(at, kinds, 'more than one provider specified in a single element, should split into different list elements')]
  const [kind] = kinds as [(typeof kinds)[number]]
  if (kind === 'identity') return []
  if (kind === 'kms') return validateKms(provider.kms!, at.child('kms'), names)
  return validateKeys(provider[kind]!.keys, at.child(kind, 'keys'), kind === 'secretbox' ? secretboxKeySizes : aesKeySizes)
}

function validateKeys(keys: readonly Key[], at: Path, sizes: readonly number[]): FieldError[] {
  if (keys.length === 0) return [required(at, 'at least one keys is required')]
  return keys.flatMap(({ name, secret }, i) => {
    const here = at.index(i)
    const errors = name === '' ? [required(here.child('name'), 'name is a mandatory field for a key')] : []
    if (secret === '') return [...errors, required(here.child('secret'), 'secret is a mandatory field for a key')]
    const bytes = Buffer.from(secret, 'base64')
    if (bytes.toString('base64') !== secret) return [...errors, invalid(here.child('secret'), 'REDACTED', 'secrets must be base64 encoded')]
    if (sizes.includes(bytes.length)) return errors
    const why = `secret is not of the expected length, got ${bytes.length}, expected one of [${sizes.join(' ')}]`
    return [...errors, invalid(here.child('secret'), 'REDACTED', why)]
  })
}

/** Upstream's, without its feature gate. */
const kmsV1 =
  'KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead.  Set --feature-gates=KMSv1=true to use the deprecated KMSv1 feature.'

function validateKms(c: KmsConfiguration, at: Path, names: Set<string>): FieldError[] {
  const errors: FieldError[] = []
  if (c.name === '') errors.push(required(at.child('name'), 'name is a mandatory field for a provider'))
  if (c.name.includes(':')) errors.push(invalid(at.child('name'), c.name, `invalid KMS provider name ${c.name}, must not contain ':'`))
  if (names.has(c.name)) errors.push(invalid(at.child('name'), c.name, `duplicate KMS provider name ${c.name}, names must be unique`))
  names.add(c.name)
  if (!((parseDuration(c.timeout ?? '3s') ?? 0) > 0))
    errors.push(invalid(at.child('timeout'), c.timeout, 'timeout should be a positive value'))
  if (c.endpoint === '') errors.push(invalid(at.child('endpoint'), '', 'endpoint is a mandatory field for a kms'))
  else if (!c.endpoint.startsWith('unix:')) {
    const scheme = c.endpoint.slice(0, Math.max(0, c.endpoint.indexOf(':')))
    errors.push(
      invalid(at.child('endpoint'), c.endpoint, `unsupported scheme ${JSON.stringify(scheme)} for KMS provider, only unix is supported`),
    )
  }
  if (c.cachesize !== undefined) errors.push(invalid(at.child('cachesize'), c.cachesize, 'cachesize is not supported in v2'))
  if ((c.apiVersion ?? 'v1') === 'v1') errors.push(forbidden(at.child('apiVersion'), kmsV1))
  else if (c.apiVersion !== 'v2')
    errors.push(
      invalid(at.child('apiVersion'), c.apiVersion, 'unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported'),
    )
  return errors
}
