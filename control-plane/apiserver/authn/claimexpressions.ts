/** Expressions about the claims of a token and the user made of them: k8s.io/apiserver/pkg/authentication/cel. */
import type { UserInfo } from '#shared/bus/transport.ts'
import { invalid, type FieldError, type Path } from '#shared/machinery/field.ts'
import type { Environment, Program, Type } from '../cel/cel.ts'
import { cel } from '../cel/load.ts'
import { TokenError } from './token.ts'

type About = 'claims' | 'user'
const environments = new Map<About, Environment>()

function environmentOf(about: About): Environment {
  let environment = environments.get(about)
  if (!environment) {
    const { newEnvironment, types } = cel()
    const { dyn, list, map, string, struct } = types
    const fields = new Map([
      ['username', string],
      ['uid', string],
      ['groups', list(string)],
      ['extra', map(string, list(string))],
    ])
    const variables: Record<string, Type> =
      about === 'claims' ? { claims: map(string, dyn) } : { user: struct('kubernetes.UserInfo', name => fields.get(name)) }
    environments.set(about, (environment = newEnvironment({ variables })))
  }
  return environment
}

/** `rule`: it says yes or no. Throws for what cannot be compiled. */
function compiled(expression: string, about: About, rule: boolean): Program {
  const { compile, types } = cel()
  const { program, error } = compile(expression, environmentOf(about))
  if (!program) throw new Error(error)
  if (rule && !types.same(program.type, types.bool)) throw new Error('must evaluate to bool')
  return program
}

/** What is wrong with an expression of a configuration. */
export function checkExpression(expression: string, at: Path, about: About = 'claims', rule = about === 'user'): FieldError[] {
  try {
    compiled(expression, about, rule)
    return []
  } catch (e) {
    return [invalid(at, expression, (e as Error).message)]
  }
}

/** Whether it looks at `claims.name`. */
export const looksAtClaim = (expression: string, name: string): boolean => {
  try {
    return compiled(expression, 'claims', false).selects('claims', name)
  } catch {
    return false
  }
}

export type Claims = Readonly<Record<string, unknown>>

/** What the expression says of the claims, as JSON. Throws TokenError, its text begins with `what`. */
export function evaluateClaims(expression: string, claims: Claims, what: string): unknown {
  const { fromJson, toJson } = cel()
  const outcome = compiled(expression, 'claims', false).evaluate({ claims: fromJson(claims) })
  if (outcome.error !== undefined) throw new TokenError(`${what}expression '${expression}' resulted in error: ${outcome.error}`)
  return toJson(outcome.value)
}

/** Texts of which the empty ones are left out; null and an empty text are none. Throws TokenError. */
export function textsOf(value: unknown, what: string): string[] {
  const list = value === null ? [] : Array.isArray(value) ? (value as unknown[]) : [value]
  if (list.some(v => typeof v !== 'string')) throw new TokenError(`${what}expression must return a string or a list of strings`)
  return (list as string[]).filter(v => v !== '')
}

interface Rule {
  readonly expression?: string | undefined
  readonly message?: string | undefined
}

/** Throws TokenError for the first rule that does not hold; `what` tells what is judged. */
function hold(rules: readonly Rule[], about: About, values: object, what: string): void {
  const bindings = { [about]: cel().fromJson(values) }
  const judged = rules.flatMap(({ expression, message = '' }) => {
    if (!expression) return []
    const outcome = compiled(expression, about, true).evaluate(bindings)
    if (outcome.error !== undefined) throw new TokenError(`${what}: expression '${expression}' resulted in error: ${outcome.error}`)
    return [{ expression, message, holds: outcome.value === true }]
  })
  const broken = judged.find(r => !r.holds)
  if (broken) throw new TokenError(`${what}: validation expression '${broken.expression}' failed: ${broken.message}`)
}

export const holdForClaims = (rules: readonly Rule[], claims: Claims): void =>
  hold(rules, 'claims', claims, 'oidc: error evaluating claim validation expression')

export const holdForUser = (rules: readonly Rule[], { name, uid = '', groups, extra = {} }: UserInfo): void =>
  hold(rules, 'user', { username: name, uid, groups, extra }, 'oidc: error evaluating user info validation rule')
