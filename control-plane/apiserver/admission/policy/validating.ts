/**
 * ValidatingAdmissionPolicy: requests are judged by the rules of bound policies (k8s.io/apiserver/pkg/admission/plugin/policy/validating).
 * https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
 */
import { validatingAdmissionPolicies, validatingAdmissionPolicyBindings } from '#shared/api/kinds.ts'
import type { ValidatingAdmissionPolicy } from '#shared/api/admissionregistration/validatingadmissionpolicy.ts'
import type { ValidatingAdmissionPolicyBinding } from '#shared/api/admissionregistration/validatingadmissionpolicybinding.ts'
import { after, inTurn, type Maybe } from '#shared/machinery/maybe.ts'
import { StatusError } from '#shared/machinery/status.ts'
import { refused, type AdmissionPlugin, type Attributes } from '../admission.ts'
import { followHooks, type BoundTo, type Hook } from './hooks.ts'
import { errorType, policyMetrics } from './metrics.ts'
import { invocations, whenCurrent, type PolicyDependencies } from './invocation.ts'
import { compileValidations, judge, type CompiledValidations, type Decision } from './validations.ts'

type Policy = ValidatingAdmissionPolicy
type Binding = ValidatingAdmissionPolicyBinding
type Own = Hook<Policy, Binding, CompiledValidations>

interface Denial {
  readonly policy: string
  readonly binding: string | undefined
  readonly message: string
  readonly reason: string
}
interface Failure {
  readonly message: string
  readonly policy: string
  readonly binding: string
  readonly expressionIndex: number
  readonly validationActions: readonly string[]
}

const maxFailures = 50
const maxAnnotationBytes = 10 * 1024
const codes: Readonly<Record<string, number>> = { Forbidden: 403, Unauthorized: 401, RequestEntityTooLarge: 413, Invalid: 422 }

export function validatingAdmissionPolicy(given: PolicyDependencies): AdmissionPlugin {
  const { registry, serving } = given
  const metrics = policyMetrics('validating_admission_policy')
  metrics.register(given.metrics)
  const tables = { policies: validatingAdmissionPolicies, bindings: validatingAdmissionPolicyBindings }
  const hooks = followHooks<Policy, Binding, CompiledValidations>(registry, serving, tables, compileValidations)
  given.onClose(hooks.stop)

  function validate(a: Attributes): Maybe<void> {
    const concerned = hooks.for(a)
    return concerned.length === 0 ? undefined : new Judgement(a, concerned).run()
  }

  class Judgement {
    readonly #a: Attributes
    readonly #hooks: readonly Own[]
    readonly #denials: Denial[] = []
    readonly #failures: Failure[] = []

    constructor(a: Attributes, concerned: readonly Own[]) {
      this.#a = a
      this.#hooks = concerned
    }
    run(): Maybe<void> {
      const invoke = invocations<Policy, Binding, CompiledValidations>(given, this.#a)
      const each = inTurn(this.#hooks, hook => {
        const annotations = new Map<string, Set<string>>()
        const invoked = invoke(hook, {
          misconfigured: (error, bound) => this.#misconfigured(hook, bound, error),
          one: (bound, invocation) =>
            after(judge(hook.policy.spec, hook.compiled, invocation), ({ decisions, notes }) => {
              decisions.forEach((decision, i) => this.#enforce(hook, bound, decision, i))
              for (const note of notes) {
                if (note.error !== undefined) this.#deny(hook, bound.name, note.error, '', note.seconds)
                else annotations.set(note.key, (annotations.get(note.key) ?? new Set()).add(note.value))
              }
            }),
        })
        return after(invoked, () => {
          for (const [key, values] of annotations) this.#a.annotate(`${hook.name}/${key}`, [...values].map(shortened).join(', '))
        })
      })
      return after(each, () => this.#conclude())
    }

    #misconfigured({ name, policy }: Own, bound: BoundTo<Binding> | undefined, error: string): void {
      if (policy.spec.failurePolicy === 'Ignore') return
      const message = `failed to configure ${bound ? 'binding' : 'policy'}: ${error}`
      this.#denials.push({ policy: name, binding: bound?.name, message, reason: '' })
    }
    #deny({ name }: Own, binding: string, message: string, reason: string, seconds: number): void {
      this.#denials.push({ policy: name, binding, message, reason })
      this.#count(name, binding, 'deny', errorType(message), seconds)
    }
    #count(policy: string, binding: string, action: string, error: string, seconds: number): void {
      metrics.observe({ policy, policy_binding: binding, error_type: error, enforcement_action: action }, seconds)
    }
    #enforce(hook: Own, { name, binding }: BoundTo<Binding>, d: Decision, expressionIndex: number): void {
      if (d.admitted) {
        if (d.error) this.#count(hook.name, name, 'allow', errorType(d.message), d.seconds)
        return
      }
      const { validationActions = [] } = binding.spec
      for (const action of validationActions) {
        if (action === 'Deny') this.#deny(hook, name, d.message, d.reason, d.seconds)
        else if (action === 'Warn') {
          this.#a.warn(`Validation failed for ValidatingAdmissionPolicy '${hook.name}' with binding '${name}': ${d.message}`)
          this.#count(hook.name, name, 'warn', errorType(d.message), d.seconds)
        } else {
          const { policyName: policy = '' } = binding.spec
          if (this.#failures.length < maxFailures)
            this.#failures.push({ message: d.message, policy, binding: name, expressionIndex, validationActions })
          this.#count(hook.name, name, 'audit', errorType(d.message), d.seconds)
        }
      }
    }
    #conclude(): void {
      if (this.#failures.length > 0)
        this.#a.annotate('validation.policy.admission.k8s.io/validation_failure', JSON.stringify(this.#failures))
      const [first] = this.#denials
      if (!first) return
      const { policy, binding, message } = first
      const text = `ValidatingAdmissionPolicy '${policy}' ${binding === undefined ? '' : `with binding '${binding}' `}denied request: ${message}`
      const reason = first.reason || 'Invalid'
      const failure = refused(this.#a, text)
      throw new StatusError(codes[reason] ?? 422, reason, failure.message, {
        ...failure.status.details,
        causes: [{ message: text }] as never,
      })
    }
  }

  return { name: 'ValidatingAdmissionPolicy', validate: a => whenCurrent(registry, () => validate(a)) }
}

const shortened = (text: string): string =>
  Buffer.byteLength(text) > maxAnnotationBytes ? Buffer.from(text).toString('utf8', 0, maxAnnotationBytes) : text
