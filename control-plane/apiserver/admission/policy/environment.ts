/** What expressions of policies may name (k8s.io/apiserver/pkg/admission/plugin/cel), and their compilation. */
import type { Environment, Program, Type } from '../../cel/cel.ts'
import { cel } from '../../cel/load.ts'
import { patchTypes } from './patchtypes.ts'
import { namespaceType, requestType } from './types.ts'

/** An expression, compiled or with what is wrong with it in upstream's words. */
export type Expression =
  | { readonly text: string; readonly program: Program; readonly error?: undefined }
  | {
      readonly text: string
      readonly program?: undefined
      readonly error: string
      /** Without the head of the error. */
      readonly issues?: string
    }

/** What an expression sees beside the request. */
export interface Sees {
  /** The authorizer; message expressions do not. */
  readonly authorizer: boolean
  /** `Object{}` and `JSONPatch{}`. */
  readonly patchTypes?: boolean
  /** The policy's variables; match conditions do not. */
  readonly variables: boolean
}

/** Types of what is dyn otherwise. */
export interface Typed {
  readonly object: Type
  readonly params: Type | undefined
}

/** Compiles the expressions of one policy. A variable is seen by what is compiled after it. */
export class PolicyCompiler {
  readonly #hasParams: boolean
  readonly #typed: Typed | undefined
  readonly #variables = new Map<string, Type>()
  readonly #environments = new Map<string, Environment>()

  constructor(hasParams: boolean, typed?: Typed) {
    this.#hasParams = hasParams
    this.#typed = typed
  }

  variable(name: string, text: string): Expression {
    const compiled = this.compile(text, { authorizer: true, variables: true })
    this.#variables.set(name, compiled.program?.type ?? cel().types.dyn)
    return compiled
  }

  /** `returns`: of exactly which types it must be; any when absent. */
  compile(text: string, sees: Sees, returns?: readonly Type[]): Expression {
    const { compile, types } = cel()
    const compiled = compile(text, this.#environment(sees))
    if (!compiled.program) return { text, error: compiled.error, issues: compiled.issues }
    const { program } = compiled
    if (!returns || returns.some(t => types.same(t, program.type))) return { text, program }
    const [wanted, got] = [returns.map(types.format), types.format(program.type)]
    return {
      text,
      error:
        wanted.length === 1
          ? `must evaluate to ${wanted[0]} but got ${got}`
          : `must evaluate to one of [${wanted.join(' ')}] but got ${got}`,
    }
  }

  #environment(sees: Sees): Environment {
    const key = `${sees.authorizer} ${sees.patchTypes} ${sees.variables && this.#variables.size > 0}`
    let environment = this.#environments.get(key)
    if (!environment) {
      const own = this.#typed || (sees.variables && this.#variables.size > 0)
      environment = own ? this.#make(sees) : shared(this.#hasParams, sees)
      this.#environments.set(key, environment)
    }
    return environment
  }

  #make(sees: Sees): Environment {
    // Asked when an expression is checked, so that it holds what was added meanwhile.
    const variables = cel().types.struct('kubernetes.variables', name => this.#variables.get(name))
    return newEnvironment(this.#hasParams, sees, variables, this.#typed)
  }
}

const environments = new Map<string, Environment>()
/** Of all policies without variables. */
function shared(hasParams: boolean, sees: Sees): Environment {
  const key = `${hasParams} ${sees.authorizer} ${sees.patchTypes} ${sees.variables}`
  let environment = environments.get(key)
  if (!environment) {
    const none = sees.variables ? cel().types.struct('kubernetes.variables', () => undefined) : undefined
    environments.set(key, (environment = newEnvironment(hasParams, sees, none)))
  }
  return environment
}

function newEnvironment(hasParams: boolean, sees: Sees, variables: Type | undefined, typed?: Typed): Environment {
  const { authorizerType, jsonPatch, newEnvironment: make, resourceCheckType, types } = cel()
  return make({
    variables: {
      object: typed?.object ?? types.dyn,
      oldObject: typed?.object ?? types.dyn,
      namespaceObject: namespaceType(),
      request: requestType(),
      ...(hasParams ? { params: typed?.params ?? types.dyn } : {}),
      ...(sees.authorizer ? { authorizer: authorizerType, 'authorizer.requestResource': resourceCheckType } : {}),
      ...(variables ? { variables } : {}),
    },
    ...(sees.patchTypes ? { ...patchTypes(), libraries: [jsonPatch] } : {}),
  })
}
