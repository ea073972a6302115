/** `x-kubernetes-validations` compiled: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/compilation.go. */
import type { JsonSchema, ValidationRule } from '#shared/machinery/structural/schema.ts'
import { compile, newEnvironment, type Environment, type Program } from '../cel.ts'
import * as types from '../types.ts'
import { sizesOf, type Declared } from '../schema/declared.ts'
import { fieldPathOf } from './fieldpath.ts'

export interface CompiledRule {
  readonly rule: ValidationRule
  /** Absent when it could not be compiled, or when the rule is empty. */
  readonly program?: Program
  readonly error?: string
  readonly usesOldSelf: boolean
  readonly message?: Program
  readonly messageError?: string
  /** As fields errors have it. */
  readonly fieldPath?: string
}

interface Environments {
  readonly plain: Environment
  readonly optional: Environment
}
const environments = new WeakMap<Declared, Environments>()

function environmentsOf(declared: Declared): Environments {
  let known = environments.get(declared)
  if (!known) {
    const { type } = declared
    const sizes = sizesOf(declared)
    known = {
      plain: newEnvironment({ variables: { self: type, oldSelf: type }, sizes }),
      optional: newEnvironment({ variables: { self: type, oldSelf: types.optional(type) }, sizes }),
    }
    environments.set(declared, known)
  }
  return known
}

export function compileRule(rule: ValidationRule, declared: Declared, schema: JsonSchema): CompiledRule {
  if ((rule.rule ?? '').trim() === '') return { rule, usesOldSelf: false }
  const { plain, optional } = environmentsOf(declared)
  const environment = rule.optionalOldSelf ? optional : plain
  const { program, error } = compile(rule.rule, environment)
  if (!program) return { rule, usesOldSelf: false, error }
  if (!types.same(program.type, types.bool)) return { rule, usesOldSelf: false, error: 'cel expression must evaluate to a bool' }
  const fieldPath = rule.fieldPath ? fieldPathOf(rule.fieldPath.trim(), schema) : undefined
  return {
    rule,
    program,
    usesOldSelf: program.names.has('oldSelf'),
    ...messageOf(rule.messageExpression, environment),
    ...(fieldPath === undefined ? {} : { fieldPath }),
  }
}

function messageOf(expression: string | undefined, environment: Environment): Pick<CompiledRule, 'message' | 'messageError'> {
  if (!expression) return {}
  const compiled = compile(expression, environment)
  if (!compiled.program) return { messageError: `messageExpression compilation failed: ${compiled.issues}` }
  const { program } = compiled
  if (!types.same(program.type, types.string)) return { messageError: 'messageExpression must evaluate to a string' }
  return { message: program }
}

/** What stands for a rule in messages: its own message or the expression. */
export const ruleText = ({ rule, message }: ValidationRule): string => (message ? message.trim() : rule.trim())
