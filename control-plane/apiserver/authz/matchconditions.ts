/**
 * Which questions a webhook is asked: conditions in CEL over the spec of a SubjectAccessReview (k8s.io/apiserver/pkg/authorization/cel).
 */
import { cel } from '../cel/load.ts'
import type { Environment, Program, Type } from '../cel/cel.ts'
import type { Attributes } from './authorizer.ts'
import { fieldRequirements, labelRequirements } from './question.ts'

/** `skip` when one says no, `fail` when one could not say and none says no. */
export type Match = 'ask' | 'skip' | 'fail'

let environment: Environment | undefined

/** The variable `request`, with every field that may be looked at. */
function environmentOf(): Environment {
  if (environment) return environment
  const { newEnvironment, types } = cel()
  const { list, map, string } = types
  const object = (name: string, fields: Readonly<Record<string, Type>>): Type =>
    types.struct(`kubernetes.${name}`, field => (Object.hasOwn(fields, field) ? fields[field] : undefined))
  const strings = (...names: string[]): Record<string, Type> => Object.fromEntries(names.map(name => [name, string]))
  const requirement = object('SelectorRequirement', { ...strings('key', 'operator'), values: list(string) })
  const selector = (name: string): Type => object(name, { rawSelector: string, requirements: list(requirement) })
  const request = object('SubjectAccessReviewSpec', {
    resourceAttributes: object('ResourceAttributes', {
      ...strings('namespace', 'verb', 'group', 'version', 'resource', 'subresource', 'name'),
      fieldSelector: selector('FieldSelectorAttributes'),
      labelSelector: selector('LabelSelectorAttributes'),
    }),
    nonResourceAttributes: object('NonResourceAttributes', strings('path', 'verb')),
    ...strings('user', 'uid'),
    groups: list(string),
    extra: map(string, list(string)),
  })
  return (environment = newEnvironment({ variables: { request } }))
}

/** A condition as a program, or what is wrong with it. */
export function compileCondition(expression: string): { readonly program: Program } | { readonly error: string } {
  const { compile, types } = cel()
  const { program, error } = compile(expression, environmentOf(), { returns: [types.bool] })
  return program ? { program } : { error: error ?? '' }
}

/** What conditions see: every text is there, also an empty one. */
function requestOf(a: Attributes): object {
  const { name, uid = '', groups, extra = {} } = a.user
  const who = { user: name, uid, groups, extra }
  if (!a.isResource) return { ...who, nonResourceAttributes: { path: a.path, verb: a.verb } }
  const { namespace, verb, group, version, resource, subresource, name: object } = a
  const fields = fieldRequirements(a)
  const labels = labelRequirements(a)
  return {
    ...who,
    resourceAttributes: {
      ...{ namespace, verb, group, version, resource, subresource, name: object },
      ...(fields ? { fieldSelector: fields } : {}),
      ...(labels ? { labelSelector: labels } : {}),
    },
  }
}

/** Throws for an expression that does not compile. */
export function matcher(expressions: readonly string[]): (a: Attributes) => Match {
  if (expressions.length === 0) return () => 'ask'
  const programs = expressions.map(expression => {
    const compiled = compileCondition(expression)
    if ('error' in compiled) throw new Error(compiled.error)
    return compiled.program
  })
  const { fromJson } = cel()
  return a => {
    const request = fromJson(requestOf(a))
    let match: Match = 'ask'
    for (const program of programs) {
      const { value } = program.evaluate({ request })
      if (value === false) return 'skip'
      if (value !== true) match = 'fail'
    }
    return match
  }
}
