/**
 * Expressions of a policy evaluated for one request, binding and parameter, within one budget: k8s.io/apiserver/pkg/admission/plugin/cel.
 */
import type { Bindings, ErrorValue, MapValue, Value } from '../../cel/cel.ts'
import { cel } from '../../cel/load.ts'
import type { Expression } from './environment.ts'

/** Nothing more is evaluated. */
export class OutOfBudget extends Error {
  constructor() {
    super('validation failed due to running out of cost budget, no further validation rules will be run')
  }
}

/** An authorizer has yet to answer: everything is evaluated again when it has. */
export class Waits extends Error {
  readonly until: Promise<void>
  constructor(until: Promise<void>) {
    super('evaluation is pending')
    this.until = until
  }
}

export type Result =
  { readonly value: Exclude<Value, ErrorValue>; readonly error?: undefined } | { readonly value?: undefined; readonly error: string }

export class Evaluation {
  readonly #bindings: Record<string, Value | (() => Value)>
  #budget: number
  /** What the variables cost that the current expression looked at first. */
  #spent = 0
  #waits: Promise<void> | undefined

  constructor(bindings: Bindings, variables: ReadonlyMap<string, Expression> | undefined, budget: number) {
    this.#bindings = variables ? { ...bindings, variables: lazily(variables, e => this.#variable(e)) } : bindings
    this.#budget = budget
  }

  /** What is left of the budget. */
  get left(): number {
    return this.#budget
  }

  /** Throws OutOfBudget, and Waits. */
  run({ text, program, error }: Expression): Result {
    if (!program) return { error: `compilation error: ${error}` }
    const outcome = program.evaluate(this.#bindings)
    const until = outcome.error === undefined ? this.#waits : (outcome.pending ?? this.#waits)
    if (until) throw new Waits(until)
    this.#budget -= outcome.cost + this.#spent
    this.#spent = 0
    if (this.#budget < 0) throw new OutOfBudget()
    return outcome.error === undefined ? { value: outcome.value } : { error: `expression '${text}' resulted in error: ${outcome.error}` }
  }

  #variable({ name, expression }: Named): Value {
    const { ErrorValue } = cel()
    if (!expression.program) return new ErrorValue(`composited variable ${JSON.stringify(name)} fails to compile: ${expression.error}`)
    const outcome = expression.program.evaluate(this.#bindings)
    this.#spent += outcome.cost
    if (outcome.error === undefined) return outcome.value
    this.#waits ??= outcome.pending
    return new ErrorValue(`composited variable ${JSON.stringify(name)} fails to evaluate: ${outcome.error}`)
  }
}

interface Named {
  readonly name: string
  readonly expression: Expression
}

/** Variables as a map; each is evaluated when it is first looked at. */
function lazily(variables: ReadonlyMap<string, Expression>, evaluate: (variable: Named) => Value): MapValue {
  const known = new Map<string, Value>()
  const { MapValue } = cel()
  class Variables extends MapValue {
    get size(): number {
      return variables.size
    }
    get(name: Value): Value | undefined {
      if (typeof name !== 'string') return undefined
      const expression = variables.get(name)
      if (!expression) return undefined
      let value = known.get(name)
      if (value === undefined) known.set(name, (value = evaluate({ name, expression })))
      return value
    }
    keys(): Iterable<Value> {
      return variables.keys()
    }
  }
  return new Variables()
}

export interface Condition {
  readonly name: string
  readonly expression: Expression
}

/** Whether all conditions hold: false when one does not, else what is wrong with the others. */
export function conditionsHold(conditions: readonly Condition[], evaluation: Evaluation): boolean | { readonly error: string } {
  const errors: string[] = []
  for (const { expression } of conditions) {
    const { value, error } = evaluation.run(expression)
    if (error !== undefined) errors.push(error)
    else if (value === false) return false
  }
  if (errors.length === 0) return true
  const each = [...new Set(errors)]
  return { error: each.length === 1 ? each[0]! : `[${each.join(', ')}]` }
}
