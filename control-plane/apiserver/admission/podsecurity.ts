/**
 * PodSecurity: pods keep to the Pod Security Standard that their namespace's labels ask for; whoever makes pods from a template is told
 * what they would violate (k8s.io/pod-security-admission/admission).
 */
import type { Pod } from '#shared/api/core/pod.ts'
import type { PodSpec } from '#shared/api/core/podspec/podspec.ts'
import type { ObjectMeta } from '#shared/api/meta/objectmeta.ts'
import { forbidden, internalError, invalidObject } from '#shared/machinery/status.ts'
import type { FieldError } from '#shared/machinery/field.ts'
import { defaultPolicy, type PodSecurityConfiguration } from '../podsecurity/configuration.ts'
import type { PodSecurityMetrics } from '../podsecurity/metrics.ts'
import { warnAboutPods } from '../podsecurity/namespace.ts'
import {
  formatLevel,
  formatViolations,
  isFullyPrivileged,
  isSame,
  isStricter,
  labelPrefix,
  modes,
  policyOf,
  violations,
  type LevelVersion,
  type Policy,
} from '../podsecurity/policy.ts'
import type { Registry, Stored } from '../registry/registry.ts'
import type { AdmissionPlugin, Attributes } from './admission.ts'

const namespaces = { group: '', plural: 'namespaces' }
/** Requests that make nothing of a pod's containers. */
const ignoredSubresources = new Set(['exec', 'attach', 'binding', 'eviction', 'log', 'portforward', 'proxy', 'status'])

interface Template {
  metadata?: ObjectMeta
  spec?: PodSpec
}
const inSpec = (o: unknown): Template | undefined => (o as { spec?: { template?: Template } }).spec?.template
/** Where the kinds that make pods have their template. */
const templates: Readonly<Record<string, (object: unknown) => Template | undefined>> = {
  '/replicationcontrollers': inSpec,
  '/podtemplates': o => (o as { template?: Template }).template,
  'apps/replicasets': inSpec,
  'apps/deployments': inSpec,
  'apps/statefulsets': inSpec,
  'apps/daemonsets': inSpec,
  'batch/jobs': inSpec,
  'batch/cronjobs': o => inSpec((o as { spec?: { jobTemplate?: unknown } }).spec?.jobTemplate ?? {}),
}

interface Judged {
  readonly policy: Policy
  readonly errors: readonly FieldError[]
}

export function podSecurity(
  registry: Registry,
  metrics: PodSecurityMetrics,
  configuration: PodSecurityConfiguration = {},
): AdmissionPlugin {
  const defaults = defaultPolicy(configuration)
  const { usernames = [], namespaces: exemptNamespaces = [], runtimeClasses = [] } = configuration.exemptions ?? {}
  const annotate = (a: Attributes, key: string, value: string): void => a.annotate(`${labelPrefix}${key}`, value)
  const isExemptSpec = (spec: PodSpec): boolean => Boolean(spec.runtimeClassName) && runtimeClasses.includes(spec.runtimeClassName!)
  // A version of a namespace is asked about by many pods.
  const known = new WeakMap<Stored, Judged>()

  function policyIn(a: Attributes): Judged {
    const stored = registry.get(namespaces, '', a.namespace)
    if (!stored) {
      metrics.failed(true, a)
      throw internalError(`failed to lookup namespace "${a.namespace}"`)
    }
    let judged = known.get(stored)
    if (!judged) known.set(stored, (judged = policyOf(stored.labels, defaults)))
    return judged
  }

  function exempt(a: Attributes, why: string): void {
    annotate(a, 'exempt', why)
    metrics.exempted(a)
  }

  /** Whether nobody need look: the namespace or the user is exempt. */
  function isExempt(a: Attributes): boolean {
    const why = exemptNamespaces.includes(a.namespace) ? 'namespace' : usernames.includes(a.user.name) ? 'user' : undefined
    if (why === undefined) return false
    exempt(a, why)
    return true
  }

  function judge(a: Attributes, { policy, errors }: Judged, spec: PodSpec, metadata: ObjectMeta, enforce: boolean): void {
    if (isExemptSpec(spec)) return exempt(a, 'runtimeClass')
    if (errors.length > 0) {
      annotate(a, 'error', `Failed to parse policy: ${errors.map(e => `${e.field}: ${e.message}`).join(', ')}`)
      metrics.failed(false, a)
    }
    const results = new Map<string, string>()
    /** All violations of a level as one text, '' for none. */
    const against = (level: LevelVersion): string => {
      const key = formatLevel(level)
      if (!results.has(key)) results.set(key, formatViolations(violations(level, spec, metadata)))
      return results.get(key)!
    }
    /** What is wrong with a mode's level, counted. */
    const judged = (mode: 'audit' | 'enforce' | 'warn'): string => {
      const broken = against(policy[mode])
      if (broken !== '' || mode === 'enforce') metrics.evaluated(broken === '' ? 'allow' : 'deny', policy[mode], mode, a)
      return broken
    }
    const violates = (mode: 'audit' | 'enforce' | 'warn', broken: string): string =>
      `violate${mode === 'enforce' ? 's' : ''} PodSecurity "${formatLevel(policy[mode])}": ${broken}`
    if (enforce) annotate(a, 'enforce-policy', formatLevel(policy.enforce))
    const enforced = enforce ? judged('enforce') : ''
    const audited = judged('audit')
    if (audited !== '') annotate(a, 'audit-violations', `would ${violates('audit', audited)}`)
    if (enforced !== '') throw forbidden(a.resource, a.name, violates('enforce', enforced))
    const warned = judged('warn')
    if (warned !== '') a.warn(`would ${violates('warn', warned)}`)
  }

  function validatePod(a: Attributes): void {
    if (ignoredSubresources.has(a.subresource) || isExempt(a)) return
    const judged = policyIn(a)
    if (judged.errors.length === 0 && isFullyPrivileged(judged.policy)) {
      metrics.evaluated('allow', judged.policy.enforce, 'enforce', a)
      return annotate(a, 'enforce-policy', 'privileged:latest')
    }
    const pod = a.object as Pod
    if (a.operation === 'UPDATE' && !isSignificant(pod, a.old as Pod)) return
    judge(a, judged, pod.spec, pod.metadata, true)
  }

  function validateTemplate(a: Attributes, template: (object: unknown) => Template | undefined): void {
    if (isExempt(a)) return
    const judged = policyIn(a)
    const { warn, audit } = judged.policy
    if (judged.errors.length === 0 && warn.level === 'privileged' && audit.level === 'privileged') return
    const made = template(a.object)
    if (made) judge(a, judged, made.spec ?? ({} as PodSpec), made.metadata ?? {}, false)
  }

  function validateNamespace(a: Attributes): void | Promise<void> {
    const labels = a.object!.metadata.labels
    const { policy, errors } = policyOf(labels, defaults)
    const refuse = (): never => {
      throw invalidObject(a.kind.group, a.kind.kind, a.name, errors)
    }
    const isExemptName = exemptNamespaces.includes(a.name)
    if (a.operation === 'CREATE') {
      if (errors.length > 0) refuse()
      if (isExemptName) warnExempt(a, policy, labels)
      return undefined
    }
    const old = policyOf(a.old!.metadata.labels, defaults)
    if (errors.length > 0 && JSON.stringify(errors) !== JSON.stringify(old.errors)) refuse()
    const [now, before] = [policy.enforce, old.policy.enforce]
    if (isSame(now, before) || now.level === 'privileged') return undefined
    if (now.version === before.version && !isStricter(now.level, before.level)) return undefined
    if (isExemptName) return warnExempt(a, policy, labels)
    return warnAboutPods(registry, a.name, now, pod => isExemptSpec(pod.spec)).then(warnings => warnings.forEach(w => a.warn(w)))
  }

  function warnExempt(a: Attributes, policy: Policy, labels: Readonly<Record<string, string>> = {}): void {
    const equivalent = (x: LevelVersion, y: LevelVersion): boolean => isSame(x, y) || (x.level === 'privileged' && y.level === 'privileged')
    if (isFullyPrivileged(policy) || modes.every(mode => equivalent(policy[mode], defaults[mode]))) return
    const set = modes.filter(
      mode =>
        policy[mode].level !== 'privileged' && (labels[`${labelPrefix}${mode}`] ?? labels[`${labelPrefix}${mode}-version`]) !== undefined,
    )
    const shown = set.map(mode => `${mode}=${formatLevel(policy[mode])}`).join(', ')
    a.warn(`namespace "${a.name}" is exempt from Pod Security, and the policy (${shown}) will be ignored`)
  }

  return {
    name: 'PodSecurity',
    validate(a) {
      if (!a.object || (a.operation !== 'CREATE' && a.operation !== 'UPDATE')) return undefined
      const { group, resource } = a.resource
      if (group === '' && resource === 'pods') return validatePod(a)
      if (a.subresource !== '') return undefined
      if (group === '' && resource === 'namespaces') return validateNamespace(a)
      const template = templates[`${group}/${resource}`]
      return template && validateTemplate(a, template)
    },
  }
}

type Image = { readonly name: string; readonly image?: string | undefined }
/** Of a pod's containers only images change, and ephemeral ones come. */
function isSignificant({ spec }: Pod, { spec: old }: Pod): boolean {
  const differ = (now: readonly Image[] = [], before: readonly Image[] = []): boolean =>
    now.length !== before.length || now.some((c, i) => c.image !== before[i]?.image)
  return (
    differ(spec.containers, old.containers) ||
    differ(spec.initContainers, old.initContainers) ||
    (spec.ephemeralContainers ?? []).some(c => old.ephemeralContainers?.find(o => o.name === c.name)?.image !== c.image)
  )
}
