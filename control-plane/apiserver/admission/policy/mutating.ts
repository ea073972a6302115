/**
 * MutatingAdmissionPolicy: objects are changed as bound policies say (k8s.io/apiserver/pkg/admission/plugin/policy/mutating).
 * https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/
 */
import { mutatingAdmissionPolicies, mutatingAdmissionPolicyBindings } from '#shared/api/kinds.ts'
import type { MutatingAdmissionPolicy } from '#shared/api/admissionregistration/mutatingadmissionpolicy.ts'
import type { MutatingAdmissionPolicyBinding } from '#shared/api/admissionregistration/mutatingadmissionpolicybinding.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { clone } from '#shared/machinery/jsonvalue.ts'
import { after, inTurn, type Maybe } from '#shared/machinery/maybe.ts'
import { StatusError } from '#shared/machinery/status.ts'
import { cel } from '../../cel/load.ts'
import { equal } from '../../objects/equal.ts'
import type { Serving } from '../../surface.ts'
import { refused, type AdmissionPlugin, type Attributes } from '../admission.ts'
import { conditionsHold, OutOfBudget, Waits } from './evaluation.ts'
import { followHooks, type BoundTo, type Hook } from './hooks.ts'
import { invocations, whenCurrent, type Invocation, type PolicyDependencies } from './invocation.ts'
import { errorType, policyMetrics, type PolicyMetrics } from './metrics.ts'
import { versioned, type Versioned } from './request.ts'
import { compileMutations, mutated, type CompiledMutations } from './mutations.ts'

type Policy = MutatingAdmissionPolicy
type Binding = MutatingAdmissionPolicyBinding
type Own = Hook<Policy, Binding, CompiledMutations>

/** A policy with one of its bindings and a parameter, to be carried out. */
interface Step {
  readonly hook: Own
  readonly bound: BoundTo<Binding>
  readonly invocation: Invocation
}
interface PolicyError {
  readonly text: string
  readonly reason: string
}

/** What is known of a request's first round in its second. */
class Rounds {
  /** What the object was when this plugin had done its work. */
  last: KubeObject | undefined
  /** Policies that may be carried out again, of those that were since the last change. */
  #before = new Set<string>()
  #again = new Set<string>()

  done(key: string): void {
    this.#before.add(key)
  }
  changed(): void {
    for (const key of this.#before) this.#again.add(key)
    this.#before.clear()
  }
  isDue(key: string): boolean {
    return this.#again.has(key)
  }
  get any(): boolean {
    return this.#before.size > 0
  }
}

export function mutatingAdmissionPolicy(given: PolicyDependencies): AdmissionPlugin {
  const { registry, serving } = given
  const metrics = policyMetrics('mutating_admission_policy')
  metrics.register(given.metrics)
  const tables = { policies: mutatingAdmissionPolicies, bindings: mutatingAdmissionPolicyBindings }
  const hooks = followHooks<Policy, Binding, CompiledMutations>(registry, serving, tables, compileMutations)
  given.onClose(hooks.stop)
  const rounds = new WeakMap<Attributes, Rounds>()

  function mutate(a: Attributes): Maybe<KubeObject | void> {
    const concerned = a.object ? hooks.for(a) : []
    if (concerned.length === 0) return undefined
    let own = rounds.get(a)
    if (!own) rounds.set(a, (own = new Rounds()))
    return carryOut(given, metrics, a, concerned, own)
  }
  return { name: 'MutatingAdmissionPolicy', external: true, mutate: a => whenCurrent(registry, () => mutate(a)) }
}

function carryOut(
  given: PolicyDependencies,
  metrics: PolicyMetrics,
  a: Attributes,
  hooks: readonly Own[],
  rounds: Rounds,
): Maybe<KubeObject | void> {
  const errors: PolicyError[] = []
  const fail = ({ name, policy }: Own, bound: BoundTo<Binding> | undefined, message: string, reason: string): void => {
    if (policy.spec.failurePolicy === 'Ignore') return
    const who = bound ? `policy '${name}' with binding '${bound.name}'` : `policy ${JSON.stringify(name)}`
    errors.push({ text: `${who} denied request: ${message}`, reason })
  }
  // All are matched by the object as it came.
  const steps: Step[] = []
  const invoke = invocations<Policy, Binding, CompiledMutations>(given, a)
  const collected = inTurn(hooks, hook =>
    invoke(hook, {
      misconfigured: (error, bound) => fail(hook, bound, `failed to configure ${bound ? 'binding' : 'policy'}: ${error}`, ''),
      one: (bound, invocation) => void steps.push({ hook, bound, invocation }),
    }),
  )
  if (a.reinvocation && !equal(rounds.last, a.object)) rounds.changed()
  const work = new Work(a, given.serving())
  const done = after(collected, () => inTurn(steps, step => carryOutOne(step, work, a, rounds, metrics, fail)))
  return after(done, () => {
    if (rounds.any) rounds.last = clone(work.object)
    if (errors.length > 0) throw denied(a, errors)
    return work.isChanged ? work.object : undefined
  })
}

/** The object on its way through the steps. */
class Work {
  /** In the stored form. */
  object: KubeObject
  isChanged = false
  readonly #a: Attributes
  readonly #serving: Serving
  #version = ''
  #shown: KubeObject | undefined

  constructor(a: Attributes, serving: Serving) {
    this.object = a.object!
    this.#a = a
    this.#serving = serving
  }
  /** As a policy sees it; never to be changed. */
  shown({ match, object }: Versioned): Maybe<KubeObject> {
    if (!this.isChanged) return object!
    const version = `${match.kind.group}/${match.kind.version}`
    if (this.#shown && this.#version === version) return this.#shown
    return after(versioned({ ...attributes(this.#a), object: this.object, old: undefined }, match, this.#serving), now => {
      this.#version = version
      return (this.#shown = now.object!)
    })
  }
  /** Takes a changed object of the version that was shown. */
  take({ form }: Versioned, changed: KubeObject): Maybe<void> {
    return after(form.stored(changed), object => {
      this.#shown = undefined
      this.isChanged ||= !equal(object, this.object)
      this.object = object
    })
  }
}
/** What it takes to find the form of another object in the place of the request's. */
const attributes = (a: Attributes): Attributes =>
  ({ requestKind: a.requestKind, requestResource: a.requestResource, codec: a.codec }) as Attributes

function carryOutOne(
  { hook, bound, invocation }: Step,
  work: Work,
  a: Attributes,
  rounds: Rounds,
  metrics: PolicyMetrics,
  fail: (hook: Own, bound: BoundTo<Binding>, message: string, reason: string) => void,
): Maybe<void> {
  const { versioned: form, param, evaluate } = invocation
  const { compiled, policy } = hook
  const { matchConditionsCostBudget, runtimeCostBudget } = cel()
  const key = `${hook.name}/${bound.name}/${param?.metadata.namespace ?? ''}/${param?.metadata.name ?? ''}`
  const count = (error: string, start: number): void =>
    metrics.observe({ policy: hook.name, policy_binding: bound.name, error_type: error }, (performance.now() - start) / 1000)

  const change = (mutation: CompiledMutations['mutations'][number]): Maybe<void> =>
    after(work.shown(form), shown => {
      const start = performance.now()
      const made = evaluate(
        compiled.variables,
        begin => {
          try {
            return mutated(mutation, shown, form.form, begin(runtimeCostBudget))
          } catch (e) {
            if (e instanceof Waits) throw e
            return e as Error
          }
        },
        shown,
      )
      return after(made, result => {
        if (!(result instanceof Error)) {
          count('no_error', start)
          return result === shown ? undefined : work.take(form, result)
        }
        count(errorType(result.message), start)
        if (result instanceof StatusError) throw result
        return fail(hook, bound, result.message, 'Invalid')
      })
    })

  return after(work.shown(form), shown => {
    const holds = evaluate(
      compiled.variables,
      begin => {
        try {
          return conditionsHold(compiled.conditions, begin(matchConditionsCostBudget))
        } catch (e) {
          if (e instanceof OutOfBudget) return { error: e.message }
          throw e
        }
      },
      shown,
    )
    return after(holds, is => {
      if (is === false) return undefined
      if (is !== true) return fail(hook, bound, is.error, 'Invalid')
      if (a.reinvocation && !rounds.isDue(key)) return undefined
      const before = work.object
      return after(inTurn(compiled.mutations, change), () => {
        if (work.object !== before && !equal(work.object, before)) rounds.changed()
        if (policy.spec.reinvocationPolicy === 'IfNeeded') rounds.done(key)
      })
    })
  })
}

function denied(a: Attributes, errors: readonly PolicyError[]): StatusError {
  const { status } = refused(a, 'admission request denied by policy')
  const [{ text, reason }] = errors as [PolicyError]
  return new StatusError(403, reason || 'Forbidden', text, { ...status.details, causes: errors.map(e => ({ message: e.text })) as never })
}
