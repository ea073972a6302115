/**
 * `--authentication-config`: apiserver.config.k8s.io/v1 AuthenticationConfiguration, which names OIDC providers and where strangers may come.
 * Its CEL expressions are not evaluated here: a file with one is refused. k8s.io/apiserver/pkg/apis/apiserver/validation
 */
import { typeMeta } from '#shared/api/meta/objectmeta.ts'
import { duplicate, invalid, notSupported, Path, required, type FieldError } from '#shared/machinery/field.ts'
import { bool, list, obj, opt, req, str, type Infer } from '#shared/machinery/schema.ts'
import type { ConfigKind } from '../configfile.ts'

const name = (kind: string): string => `io.k8s.apiserver.pkg.apis.apiserver.v1.${kind}`
const issuer = obj(name('Issuer'), '', () => ({
  url: req(1, str()),
  discoveryURL: opt(2, str()),
  certificateAuthority: opt(3, str()),
  audiences: req(4, list(str())),
  audienceMatchPolicy: opt(5, str()),
  egressSelectorType: opt(6, str()),
}))
const validationRule = obj(name('ClaimValidationRule'), '', () => ({
  claim: opt(1, str()),
  requiredValue: opt(2, str()),
  expression: opt(3, str()),
  message: opt(4, str()),
}))
const prefixed = obj(name('PrefixedClaimOrExpression'), '', () => ({
  claim: opt(1, str()),
  prefix: opt(2, str(), { pointer: true }),
  expression: opt(3, str()),
}))
const claimOrExpression = obj(name('ClaimOrExpression'), '', () => ({ claim: opt(1, str()), expression: opt(2, str()) }))
const extra = obj(name('ExtraMapping'), '', () => ({ key: req(1, str()), valueExpression: req(2, str()) }))
const mappings = obj(name('ClaimMappings'), '', () => ({
  username: opt(1, prefixed),
  groups: opt(2, prefixed),
  uid: opt(3, claimOrExpression),
  extra: opt(4, list(extra)),
}))
const userRule = obj(name('UserValidationRule'), '', () => ({ expression: req(1, str()), message: opt(2, str()) }))
const jwt = obj(name('JWTAuthenticator'), '', () => ({
  issuer: opt(1, issuer),
  claimValidationRules: opt(2, list(validationRule)),
  claimMappings: opt(3, mappings),
  userValidationRules: opt(4, list(userRule)),
}))
const condition = obj(name('AnonymousAuthCondition'), '', () => ({ path: req(1, str()) }))
const anonymous = obj(name('AnonymousAuthConfig'), '', () => ({ enabled: req(1, bool()), conditions: opt(2, list(condition)) }))
const schema = obj(name('AuthenticationConfiguration'), '', () => ({
  ...typeMeta(),
  jwt: opt(1, list(jwt)),
  anonymous: opt(2, anonymous),
}))
export type AuthenticationConfiguration = Infer<typeof schema>
export type JwtAuthenticator = Infer<typeof jwt>

export const authenticationConfiguration: ConfigKind<typeof schema> = {
  kind: 'AuthenticationConfiguration',
  apiVersion: 'apiserver.config.k8s.io/v1',
  schema,
  validate,
}

const noCel = (at: Path, expression: string | undefined): FieldError[] =>
  expression ? [invalid(at, expression, 'CEL expressions are not supported by this server: use claim and prefix')] : []

function validate(config: AuthenticationConfiguration): FieldError[] {
  const at = new Path('jwt')
  const errors: FieldError[] = []
  const urls = new Set<string>()
  for (const [i, authenticator] of (config.jwt ?? []).entries()) {
    const here = at.index(i)
    errors.push(...validateIssuer(authenticator.issuer, here.child('issuer')))
    const url = authenticator.issuer?.url ?? ''
    if (urls.has(url)) errors.push(duplicate(here.child('issuer', 'url'), url))
    urls.add(url)
    errors.push(...validateMappings(authenticator, here))
  }
  for (const [i, { path }] of (config.anonymous?.conditions ?? []).entries())
    if (path === '') errors.push(required(new Path('anonymous').child('conditions').index(i).child('path')))
  if (config.anonymous && !config.anonymous.enabled && config.anonymous.conditions?.length)
    errors.push(
      invalid(
        new Path('anonymous').child('conditions'),
        config.anonymous.conditions,
        'enabled should be set to true when conditions are defined',
      ),
    )
  return errors
}

function validateIssuer(given: JwtAuthenticator['issuer'], at: Path): FieldError[] {
  const { url = '', discoveryURL, audiences = [], audienceMatchPolicy } = given ?? { url: '', audiences: [] }
  const errors = url === '' ? [required(at.child('url'), 'URL is required')] : httpsUrl(url, at.child('url'))
  if (discoveryURL) {
    errors.push(...httpsUrl(discoveryURL, at.child('discoveryURL')))
    if (discoveryURL.replace(/\/$/, '') === url.replace(/\/$/, ''))
      errors.push(invalid(at.child('discoveryURL'), discoveryURL, 'discoveryURL must be different from URL'))
  }
  if (audiences.length === 0) errors.push(required(at.child('audiences'), 'at least one jwt.issuer.audiences is required'))
  for (const [i, audience] of audiences.entries()) {
    const here = at.child('audiences').index(i)
    if (audience === '') errors.push(required(here, "audience can't be empty"))
    if (audiences.indexOf(audience) < i) errors.push(duplicate(here, audience))
  }
  if (audiences.length > 1 && audienceMatchPolicy !== 'MatchAny')
    errors.push(
      invalid(at.child('audienceMatchPolicy'), audienceMatchPolicy ?? '', 'audienceMatchPolicy must be MatchAny for multiple audiences'),
    )
  else if (audienceMatchPolicy && audienceMatchPolicy !== 'MatchAny')
    errors.push(
      invalid(at.child('audienceMatchPolicy'), audienceMatchPolicy, 'audienceMatchPolicy must be empty or MatchAny for single audience'),
    )
  if (given?.egressSelectorType) errors.push(notSupported(at.child('egressSelectorType'), given.egressSelectorType, []))
  return errors
}

function httpsUrl(text: string, at: Path): FieldError[] {
  if (!URL.canParse(text)) return [invalid(at, text, 'must be a URL')]
  const url = new URL(text)
  const rules: [boolean, string][] = [
    [url.protocol !== 'https:', 'URL scheme must be https'],
    [url.username !== '' || url.password !== '', 'URL must not contain a username or password'],
    [url.search !== '' || text.includes('?'), 'URL must not contain a query'],
    [url.hash !== '' || text.includes('#'), 'URL must not contain a fragment'],
  ]
  return rules.flatMap(([broken, why]) => (broken ? [invalid(at, text, why)] : []))
}

function validateMappings({ claimValidationRules, claimMappings, userValidationRules }: JwtAuthenticator, at: Path): FieldError[] {
  const errors: FieldError[] = []
  for (const [i, rule] of (claimValidationRules ?? []).entries()) {
    const here = at.child('claimValidationRules').index(i)
    errors.push(...noCel(here.child('expression'), rule.expression))
    if (!rule.claim && !rule.expression) errors.push(required(here, 'claim or expression is required'))
  }
  const path = at.child('claimMappings')
  const { username, groups, uid, extra: extras } = claimMappings ?? {}
  if (!username?.claim && !username?.expression) errors.push(required(path.child('username'), 'claim or expression is required'))
  for (const [what, mapping] of Object.entries({ username, groups })) {
    errors.push(...noCel(path.child(what, 'expression'), mapping?.expression))
    if (mapping?.claim && mapping.prefix === undefined)
      errors.push(
        required(path.child(what, 'prefix'), 'prefix is required when claim is set. It can be set to an empty string to disable prefixing'),
      )
  }
  errors.push(...noCel(path.child('uid', 'expression'), uid?.expression))
  for (const [i, { valueExpression }] of (extras ?? []).entries())
    errors.push(...noCel(path.child('extra').index(i).child('valueExpression'), valueExpression))
  for (const [i, { expression }] of (userValidationRules ?? []).entries())
    errors.push(...noCel(at.child('userValidationRules').index(i).child('expression'), expression))
  return errors
}
