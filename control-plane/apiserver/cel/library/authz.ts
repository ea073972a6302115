/**
 * `authorizer.group('apps').resource('deployments').namespace('x').check('create').allowed()`: k8s.io/apiserver/pkg/cel/library/authz.go.
 * It asks the API server's own authorizer for the user of the request.
 */
import { isDNS1123Label, isDNS1123Subdomain } from '#shared/machinery/names.ts'
import type { Attributes, Authorizer } from '../../authz/authorizer.ts'
import { sizeOrUnknown, traversed } from '../estimate.ts'
import { member, type Library, type Overload } from '../functions.ts'
import { exactly, plus, scaled } from '../range.ts'
import { bool, opaque, string, type Type } from '../types.ts'
import { ErrorValue, Opaque, sizeOf, type Value } from '../values.ts'
import { Pending } from '../work.ts'
import { fixed } from './costs.ts'

/** Answers at once where it can; while it cannot, the evaluation is pending. */
export type Authorize = Authorizer['authorize']

const authorizerType = opaque('kubernetes.authorization.Authorizer')
const pathCheckType = opaque('kubernetes.authorization.PathCheck')
const groupCheckType = opaque('kubernetes.authorization.GroupCheck')
const resourceCheckType = opaque('kubernetes.authorization.ResourceCheck')
const decisionType = opaque('kubernetes.authorization.Decision')
export { authorizerType, resourceCheckType }

type Asked = Pick<Attributes, 'user'> & Partial<Attributes>

/** One of the steps on the way to a decision. */
class Step extends Opaque {
  override readonly type: Type
  readonly ask: Ask
  readonly asked: Asked
  constructor(type: Type, ask: Ask, asked: Asked) {
    super()
    this.type = type
    this.ask = ask
    this.asked = asked
  }
  override equals(other: Step): boolean {
    return JSON.stringify(this.asked) === JSON.stringify(other.asked)
  }
}

class Decision extends Opaque {
  override readonly type = decisionType
  readonly allowed: boolean
  readonly reason: string
  readonly error: string | undefined
  constructor(allowed: boolean, reason: string, error?: string) {
    super()
    this.allowed = allowed
    this.reason = reason
    this.error = error
  }
  override equals(other: Decision): boolean {
    return this === other
  }
}

type Ask = (a: Attributes) => Decision

/** Decisions that came late are kept for the evaluation that asks again. */
function memory(authorize: Authorize): Ask {
  const known = new Map<string, Decision>()
  return attributes => {
    const key = JSON.stringify(attributes)
    const before = known.get(key)
    if (before) return before
    const answer = authorize(attributes)
    const decided = (d: Awaited<ReturnType<Authorize>>): Decision => new Decision(d.decision === 'allow', d.reason)
    if (!(answer instanceof Promise)) return decided(answer)
    throw new Pending(
      answer.then(
        d => void known.set(key, decided(d)),
        (e: unknown) => void known.set(key, new Decision(false, '', (e as Error).message)),
      ),
    )
  }
}

/** The values of `authorizer` and, of a request of a resource, `authorizer.requestResource`. */
export function authorizerValue(authorize: Authorize, user: Attributes['user']): Value {
  return new Step(authorizerType, memory(authorize), { user })
}
export function requestResourceValue(
  authorize: Authorize,
  user: Attributes['user'],
  resource: Pick<Attributes, 'group' | 'resource' | 'subresource' | 'namespace' | 'name'>,
): Value {
  return new Step(resourceCheckType, memory(authorize), { user, ...resource })
}

const nothing = { group: '', version: '', resource: '', subresource: '', namespace: '', name: '', path: '' }

const isBlank = (text: string): boolean => text.trim() === ''
const with_ = (step: Step, type: Type, more: Partial<Attributes>): Step => new Step(type, step.ask, { ...step.asked, ...more })

const path = (a: Step, text: string): Value =>
  isBlank(text) ? new ErrorValue('path must not be empty') : with_(a, pathCheckType, { path: text })
const resource = (g: Step, text: string): Value =>
  isBlank(text) ? new ErrorValue('resource must not be empty') : with_(g, resourceCheckType, { resource: text })

function serviceAccount(a: Step, namespace: string, name: string): Value {
  if (isDNS1123Subdomain(name).length > 0) return new ErrorValue('Invalid service account name')
  if (isDNS1123Label(namespace).length > 0) return new ErrorValue('Invalid service account namespace')
  const groups = ['system:serviceaccounts', `system:serviceaccounts:${namespace}`]
  return new Step(authorizerType, a.ask, { user: { name: `system:serviceaccount:${namespace}:${name}`, groups } })
}

const checkPath = (c: Step, verb: string): Value => c.ask({ ...nothing, ...c.asked, verb, isResource: false })
const checkResource = (c: Step, verb: string): Value => c.ask({ ...nothing, version: '*', ...c.asked, verb, isResource: true })

/** Allows for two checks in one expression. */
const checking = fixed(350_000)
const nominal = fixed(1)
/** A selector is read into requirements. */
const selecting: Pick<Overload, 'cost' | 'estimate'> = {
  cost: args => {
    const size = sizeOf(args[1]!)
    return 10 + Math.ceil(size * 0.1) + Math.ceil(Math.ceil(size * 0.5) * 50)
  },
  estimate: ([, text]) => {
    const size = sizeOrUnknown(text)
    return { cost: plus(exactly(10), traversed(size), scaled(scaled(size, 0.5), 50)) }
  },
}

/** A field of the resource that is asked about. */
const narrowing = (name: keyof Attributes, id: string, costs = nominal, as: string = name): [string, Overload[]] => [
  as,
  [
    member(
      id,
      [resourceCheckType, string],
      resourceCheckType,
      (c: Step, text: string) => with_(c, resourceCheckType, { [name]: text }),
      costs,
    ),
  ],
]

export const authz: Library = {
  functions: new Map<string, readonly Overload[]>([
    ['path', [member('authorizer_path', [authorizerType, string], pathCheckType, path, nominal)]],
    [
      'group',
      [
        member(
          'authorizer_group',
          [authorizerType, string],
          groupCheckType,
          (a: Step, group: string) => with_(a, groupCheckType, { group }),
          nominal,
        ),
      ],
    ],
    ['serviceAccount', [member('authorizer_serviceaccount', [authorizerType, string, string], authorizerType, serviceAccount, nominal)]],
    ['resource', [member('groupcheck_resource', [groupCheckType, string], resourceCheckType, resource, nominal)]],
    narrowing('subresource', 'resourcecheck_subresource'),
    narrowing('namespace', 'resourcecheck_namespace'),
    narrowing('name', 'resourcecheck_name'),
    narrowing('fieldSelector', 'authorizer_fieldselector', selecting),
    narrowing('labelSelector', 'authorizer_labelselector', selecting),
    [
      'check',
      [
        member('pathcheck_check', [pathCheckType, string], decisionType, checkPath, checking),
        member('resourcecheck_check', [resourceCheckType, string], decisionType, checkResource, checking),
      ],
    ],
    ['errored', [member('decision_errored', [decisionType], bool, (d: Decision) => d.error !== undefined, nominal)]],
    ['error', [member('decision_error', [decisionType], string, (d: Decision) => d.error ?? '', nominal)]],
    ['allowed', [member('decision_allowed', [decisionType], bool, (d: Decision) => d.allowed, nominal)]],
    ['reason', [member('decision_reason', [decisionType], string, (d: Decision) => d.reason, nominal)]],
  ]),
  types: [authorizerType, pathCheckType, groupCheckType, resourceCheckType, decisionType],
}
