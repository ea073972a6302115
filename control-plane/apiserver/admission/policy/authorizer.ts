/**
 * `authorizer` in expressions: what somebody may do (k8s.io/apiserver/pkg/cel/library/authz.go).
 * https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-authorizer-library
 */
import type { UserInfo } from '#shared/bus/transport.ts'
import type { Maybe } from '#shared/machinery/maybe.ts'
import { isDNS1123Label, isDNS1123Subdomain } from '#shared/machinery/names.ts'
import type { Attributes as Question, Authorizer, Decision } from '../../authz/authorizer.ts'
import type { Opaque, Type, Value } from '../../cel/cel.ts'
import type { Library, Overload } from '../../cel/functions.ts'
import { cel } from '../../cel/load.ts'
import type { Attributes } from '../admission.ts'

type Asked = Decision & { readonly error?: string }

/** Upstream's cost of asking. */
const checkCost = 350_000

/** The answers to what expressions ask about one request, each asked once. */
export class Decisions {
  readonly #authorizer: Authorizer
  readonly #answers = new Map<string, Asked>()
  readonly #waiting = new Map<string, Promise<void>>()
  #values: { readonly authorizer: Value; readonly 'authorizer.requestResource': Value } | undefined
  readonly #a: Attributes

  constructor(authorizer: Authorizer, a: Attributes) {
    this.#authorizer = authorizer
    this.#a = a
  }

  /** For expressions. */
  get values(): { readonly authorizer: Value; readonly 'authorizer.requestResource': Value } {
    return (this.#values ??= valuesFor(this.#a, this))
  }

  /** Undefined when the answer has to be waited for: then `settled` does the work once more. */
  ask(question: Question): Asked | undefined {
    const key = JSON.stringify([
      question.user.name,
      question.verb,
      question.path,
      question.group,
      question.resource,
      question.subresource,
      question.namespace,
      question.name,
      question.fieldSelector,
    ])
    const known = this.#answers.get(key)
    if (known) return known
    if (this.#waiting.has(key)) return undefined
    try {
      const answer = this.#authorizer.authorize(question)
      if (!(answer instanceof Promise)) {
        this.#answers.set(key, answer)
        return answer
      }
      const wait = answer.then(
        decision => void this.#answers.set(key, decision),
        (e: unknown) => void this.#answers.set(key, failed(e)),
      )
      this.#waiting.set(key, wait)
      return undefined
    } catch (e) {
      const answer = failed(e)
      this.#answers.set(key, answer)
      return answer
    }
  }

  /** Does the work, which has no effect but its result, again until nothing that it asks has to be waited for. */
  settled<T>(work: () => T): Maybe<T> {
    const result = work()
    if (this.#waiting.size === 0) return result
    return Promise.all(this.#waiting.values()).then(() => {
      this.#waiting.clear()
      return this.settled(work)
    })
  }
}
const failed = (e: unknown): Asked => ({ decision: 'no opinion', reason: '', error: (e as Error).message })

interface Checks {
  readonly user: UserInfo
  readonly decisions: Decisions
}
type PathCheck = Checks & { readonly path: string }
type GroupCheck = Checks & { readonly group: string }
type ResourceCheck = GroupCheck & {
  readonly resource: string
  readonly subresource: string
  readonly namespace: string
  readonly name: string
  readonly fieldSelector?: string
}

const question = ({ user }: Checks, verb: string): Question => ({
  user,
  verb,
  isResource: false,
  group: '',
  version: '',
  resource: '',
  subresource: '',
  namespace: '',
  name: '',
  path: '',
})

interface Parts {
  readonly types: Readonly<Record<'authorizer' | 'path' | 'group' | 'resource' | 'decision', Type>>
  readonly library: Library
  /** A value of one of the types. */
  readonly wrap: <T>(type: Type, of: T) => Value
}
let parts: Parts | undefined

function made(): Parts {
  if (parts) return parts
  const { ErrorValue, Opaque: Base, types } = cel()
  const named = (name: string): Type => types.opaque(`kubernetes.authorization.${name}`)
  const own = {
    authorizer: named('Authorizer'),
    path: named('PathCheck'),
    group: named('GroupCheck'),
    resource: named('ResourceCheck'),
    decision: named('Decision'),
  }
  class Wrapped extends Base {
    readonly type: Type
    readonly of: unknown
    constructor(type: Type, of: unknown) {
      super()
      this.type = type
      this.of = of
    }
    equals(other: Opaque): boolean {
      return other instanceof Wrapped && other.of === this.of
    }
  }
  const wrap = (type: Type, of: unknown): Value => new Wrapped(type, of)
  const { bool, string } = types
  const overload = (id: string, args: readonly Type[], result: Type, call: (...args: any[]) => Value, cost = 1): Overload => ({
    // any: the checker sees to the types
    id,
    args,
    result,
    member: true,
    call: (first: Wrapped, ...rest: Value[]) => call(first.of, ...rest),
    cost: () => cost,
  })
  const error = (text: string): Value => new ErrorValue(text)
  const check = (q: Question, decisions: Decisions): Value => {
    const answer = decisions.ask(q)
    return answer ? wrap(own.decision, answer) : error('the authorizer has not answered yet')
  }
  const part = (field: 'subresource' | 'namespace' | 'name' | 'fieldSelector', id: string): readonly Overload[] => [
    overload(id, [own.resource, string], own.resource, (r: ResourceCheck, value: string) => wrap(own.resource, { ...r, [field]: value })),
  ]
  const functions = new Map<string, readonly Overload[]>([
    [
      'path',
      [
        overload('authorizer_path', [own.authorizer, string], own.path, (of: Checks, path: string) =>
          path.trim() === '' ? error('path must not be empty') : wrap(own.path, { ...of, path }),
        ),
      ],
    ],
    [
      'group',
      [overload('authorizer_group', [own.authorizer, string], own.group, (of: Checks, group: string) => wrap(own.group, { ...of, group }))],
    ],
    [
      'serviceAccount',
      [
        overload('authorizer_serviceaccount', [own.authorizer, string, string], own.authorizer, (of: Checks, ns: string, name: string) => {
          if (isDNS1123Subdomain(name).length > 0) return error('Invalid service account name')
          if (isDNS1123Label(ns).length > 0) return error('Invalid service account namespace')
          const groups = ['system:serviceaccounts', `system:serviceaccounts:${ns}`, 'system:authenticated']
          return wrap(own.authorizer, { ...of, user: { name: `system:serviceaccount:${ns}:${name}`, groups } })
        }),
      ],
    ],
    [
      'resource',
      [
        overload('groupcheck_resource', [own.group, string], own.resource, (of: GroupCheck, resource: string) =>
          resource.trim() === ''
            ? error('resource must not be empty')
            : wrap(own.resource, { ...of, resource, subresource: '', namespace: '', name: '' }),
        ),
      ],
    ],
    ['subresource', part('subresource', 'resourcecheck_subresource')],
    ['namespace', part('namespace', 'resourcecheck_namespace')],
    ['name', part('name', 'resourcecheck_name')],
    ['fieldSelector', part('fieldSelector', 'resourcecheck_fieldselector')],
    [
      'labelSelector',
      // No authorizer here decides by labels.
      [overload('resourcecheck_labelselector', [own.resource, string], own.resource, (r: ResourceCheck) => wrap(own.resource, r))],
    ],
    [
      'check',
      [
        overload(
          'pathcheck_check',
          [own.path, string],
          own.decision,
          (p: PathCheck, verb: string) => check({ ...question(p, verb), path: p.path }, p.decisions),
          checkCost,
        ),
        overload(
          'resourcecheck_check',
          [own.resource, string],
          own.decision,
          ({ decisions, ...r }: ResourceCheck, verb: string) =>
            check({ ...question({ ...r, decisions }, verb), ...r, verb, isResource: true, version: '*' }, decisions),
          checkCost,
        ),
      ],
    ],
    ['allowed', [overload('decision_allowed', [own.decision], bool, (d: Asked) => d.decision === 'allow')]],
    ['reason', [overload('decision_reason', [own.decision], string, (d: Asked) => d.reason)]],
    ['errored', [overload('decision_errored', [own.decision], bool, (d: Asked) => d.error !== undefined)]],
    ['error', [overload('decision_error', [own.decision], string, (d: Asked) => d.error ?? '')]],
  ])
  return (parts = { types: own, library: { functions, types: Object.values(own) }, wrap })
}

/** The variables that expressions with an authorizer have, and what can be done with them. */
export function authorization(): { readonly variables: Readonly<Record<string, Type>>; readonly library: Library } {
  const { types, library } = made()
  return { variables: { authorizer: types.authorizer, 'authorizer.requestResource': types.resource }, library }
}

function valuesFor(a: Attributes, decisions: Decisions): Decisions['values'] {
  const { types, wrap } = made()
  const { group, resource } = a.requestResource
  const of: Checks = { user: a.user, decisions }
  const check: ResourceCheck = { ...of, group, resource, subresource: a.subresource, namespace: a.namespace, name: a.name }
  return { authorizer: wrap(types.authorizer, of), 'authorizer.requestResource': wrap(types.resource, check) }
}
