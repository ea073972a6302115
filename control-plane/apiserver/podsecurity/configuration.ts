/** pod-security.admission.config.k8s.io PodSecurityConfiguration: what holds for namespaces that say nothing, and who is exempt. */
import { typeMeta } from '#shared/api/meta/objectmeta.ts'
import { duplicate, invalid, Path, type FieldError } from '#shared/machinery/field.ts'
import { nameIsDNSLabel, nameIsDNSSubdomain } from '#shared/machinery/names.ts'
import { list, obj, opt, str, type Infer } from '#shared/machinery/schema.ts'
import type { ConfigKind } from '#shared/component/configfile.ts'
import { levelError, modes, parseLevel, parseVersion, versionError, type LevelVersion, type Policy } from './policy.ts'

const name = (kind: string): string => `io.k8s.pod-security-admission.admission.api.v1.${kind}`
const level = () => opt(0, str(), { default: 'privileged' })
const version = () => opt(0, str(), { default: 'latest' })
const defaults = obj(name('PodSecurityDefaults'), '', () => ({
  enforce: level(),
  'enforce-version': version(),
  audit: level(),
  'audit-version': version(),
  warn: level(),
  'warn-version': version(),
}))
const exemptions = obj(name('PodSecurityExemptions'), '', () => ({
  usernames: opt(0, list(str())),
  namespaces: opt(0, list(str())),
  runtimeClasses: opt(0, list(str())),
}))
const schema = obj(name('PodSecurityConfiguration'), '', () => ({
  ...typeMeta(),
  defaults: opt(0, defaults, { default: {} }),
  exemptions: opt(0, exemptions, { default: {} }),
}))
export type PodSecurityConfiguration = Infer<typeof schema>

const group = 'pod-security.admission.config.k8s.io'
export const podSecurityConfiguration: ConfigKind<typeof schema> = {
  kind: 'PodSecurityConfiguration',
  apiVersion: `${group}/v1`,
  also: [`${group}/v1beta1`, `${group}/v1alpha1`],
  schema,
  validate,
}

function validate({ defaults: d = {}, exemptions: e = {} }: PodSecurityConfiguration): FieldError[] {
  const errors: FieldError[] = []
  for (const mode of modes) {
    const at = new Path('defaults')
    if (d[mode] && !parseLevel(d[mode])) errors.push(invalid(at.child(mode), d[mode], levelError))
    const v = d[`${mode}-version`]
    if (v && parseVersion(v) === undefined) errors.push(invalid(at.child(`${mode}-version`), v, versionError))
  }
  const each = (field: keyof typeof e, rules: (value: string) => string[]): void => {
    const seen = new Set<string>()
    for (const [i, value] of (e[field] ?? []).entries()) {
      const at = new Path('exemptions').child(field).index(i)
      const wrong = rules(value)
      if (wrong.length > 0) errors.push(invalid(at, value, wrong.join(', ')))
      else if (seen.has(value)) errors.push(duplicate(at, value))
      seen.add(value)
    }
  }
  each('namespaces', value => nameIsDNSLabel(value, false))
  each('runtimeClasses', value => nameIsDNSSubdomain(value, false))
  each('usernames', value => (value === '' ? ['username must not be empty'] : []))
  return errors
}

/** The policy of namespaces without labels; everything is allowed without a configuration. */
export function defaultPolicy({ defaults: d = {} }: Pick<PodSecurityConfiguration, 'defaults'>): Policy {
  const of = (mode: (typeof modes)[number]): LevelVersion => ({
    level: parseLevel(d[mode] ?? '') ?? 'privileged',
    version: parseVersion(d[`${mode}-version`] ?? '') ?? 'latest',
  })
  return { enforce: of('enforce'), audit: of('audit'), warn: of('warn') }
}
