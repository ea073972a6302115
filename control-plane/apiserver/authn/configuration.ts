/**
 * `--authentication-config`: apiserver.config.k8s.io/v1 AuthenticationConfiguration, which names OIDC providers and where strangers may
 * come. k8s.io/apiserver/pkg/apis/apiserver/validation
 */
import { typeMeta } from '#shared/api/meta/objectmeta.ts'
import { duplicate, invalid, notSupported, Path, required, type FieldError } from '#shared/machinery/field.ts'
import { isDNS1123Subdomain, regexError } from '#shared/machinery/names.ts'
import { bool, list, obj, opt, req, str, type Infer } from '#shared/machinery/schema.ts'
import type { ConfigKind } from '#shared/component/configfile.ts'
import { checkExpression, looksAtClaim } from './claimexpressions.ts'

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

const both = "claim and expression can't both be set"

function validateMappings(
  { claimValidationRules = [], claimMappings, userValidationRules = [] }: JwtAuthenticator,
  at: Path,
): FieldError[] {
  const path = at.child('claimMappings')
  const { username, groups, uid, extra: extras = [] } = claimMappings ?? {}
  const errors = validateClaimRules(claimValidationRules, at.child('claimValidationRules'))
  if (!username?.claim && !username?.expression) errors.push(required(path.child('username'), 'claim or expression is required'))
  for (const [what, mapping] of Object.entries({ username, groups })) {
    const { claim, expression, prefix } = mapping ?? {}
    if (claim && expression) errors.push(invalid(path.child(what), '', both))
    else if (expression) {
      if (prefix !== undefined) errors.push(invalid(path.child(what, 'prefix'), prefix, 'may not be specified when expression is set'))
      errors.push(...checkExpression(expression, path.child(what, 'expression')))
    } else if (claim && prefix === undefined)
      errors.push(
        required(path.child(what, 'prefix'), 'prefix is required when claim is set. It can be set to an empty string to disable prefixing'),
      )
  }
  if (uid?.claim && uid.expression) errors.push(invalid(path.child('uid'), '', both))
  else if (uid?.expression) errors.push(...checkExpression(uid.expression, path.child('uid', 'expression')))
  errors.push(...validateExtra(extras, path.child('extra')))
  const verifies = [username?.expression, ...extras.map(e => e.valueExpression), ...claimValidationRules.map(r => r.expression)]
  if (username?.expression && looksAtClaim(username.expression, 'email') && !verifies.some(e => e && looksAtClaim(e, 'email_verified')))
    errors.push(
      invalid(
        path.child('username', 'expression'),
        username.expression,
        'claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression',
      ),
    )
  return [...errors, ...validateUserRules(userValidationRules, at.child('userValidationRules'))]
}

function validateClaimRules(rules: NonNullable<JwtAuthenticator['claimValidationRules']>, at: Path): FieldError[] {
  return rules.flatMap(({ claim, requiredValue, expression, message }, i) => {
    const here = at.index(i)
    const before = rules.slice(0, i)
    if (claim && expression) return [invalid(here, claim, both)]
    if (!claim && !expression) return [required(here, 'claim or expression is required')]
    const errors: FieldError[] = []
    if (claim) {
      if (message) errors.push(invalid(here.child('message'), message, 'may not be specified when claim is set'))
      if (before.some(r => r.claim === claim)) errors.push(duplicate(here.child('claim'), claim))
      return errors
    }
    if (requiredValue) errors.push(invalid(here.child('requiredValue'), requiredValue, 'may not be specified when expression is set'))
    if (before.some(r => r.expression === expression)) errors.push(duplicate(here.child('expression'), expression))
    else errors.push(...checkExpression(expression!, here.child('expression'), 'claims', true))
    return errors
  })
}

const reservedDomain = /^(?:.*\.)?(?:kubernetes|k8s)\.io\//

function validateExtra(extras: readonly { key: string; valueExpression: string }[], at: Path): FieldError[] {
  return extras.flatMap(({ key, valueExpression }, i) => {
    const here = at.index(i)
    const errors = validateExtraKey(key, here.child('key'))
    if (extras.slice(0, i).some(e => e.key === key)) return [...errors, duplicate(here.child('key'), key)]
    if (valueExpression === '') return [...errors, required(here.child('valueExpression'))]
    return [...errors, ...checkExpression(valueExpression, here.child('valueExpression'))]
  })
}

/** A domain and a path below it. */
function validateExtraKey(key: string, at: Path): FieldError[] {
  if (key === '') return [required(at)]
  const errors: FieldError[] = []
  const slash = key.indexOf('/')
  const [domain, path] = slash < 0 ? [key, ''] : [key.slice(0, slash), key.slice(slash + 1)]
  if (domain === '' || path === '') errors.push(invalid(at, key, 'must be a domain-prefixed path (such as "acme.io/foo")'))
  else {
    errors.push(...isDNS1123Subdomain(domain).map(why => invalid(at, domain, why)))
    if (!/^[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/.test(path))
      errors.push(invalid(at, path, regexError('Invalid path', "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+")))
  }
  if (key !== key.toLowerCase()) errors.push(invalid(at, key, 'must be lowercase'))
  if (reservedDomain.test(key)) errors.push(invalid(at, key, 'k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use'))
  return errors
}

function validateUserRules(rules: readonly { expression: string }[], at: Path): FieldError[] {
  return rules.flatMap(({ expression }, i) => {
    const here = at.index(i).child('expression')
    if (expression === '') return [required(here)]
    if (rules.slice(0, i).some(r => r.expression === expression)) return [duplicate(here, expression)]
    return checkExpression(expression, here, 'user')
  })
}
