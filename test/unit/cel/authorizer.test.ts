import { describe, expect, it } from 'vitest'
import {
  authorizerType,
  authorizerValue,
  compile,
  newEnvironment,
  requestResourceValue,
  resourceCheckType,
  types,
  type Authorize,
  type Outcome,
} from '#control-plane/apiserver/cel/cel.ts'

const environment = newEnvironment({ variables: { authorizer: authorizerType, requested: resourceCheckType } })
const user = { name: 'jane', groups: ['devs'] }

function evaluate(expression: string, authorize: Authorize): Outcome & { again(): Outcome } {
  const { program, error } = compile(expression, environment)
  if (error !== undefined) throw new Error(error)
  const resource = { group: '', resource: 'pods', subresource: '', namespace: 'ns', name: 'p' }
  const bindings = { authorizer: authorizerValue(authorize, user), requested: requestResourceValue(authorize, user, resource) }
  return { ...program.evaluate(bindings), again: () => program.evaluate(bindings) }
}

describe('the authorizer', () => {
  it.each([
    [
      "authorizer.group('apps').resource('deployments').subresource('scale').namespace('ns').name('d').check('update')",
      {
        ...{ user, verb: 'update', isResource: true, group: 'apps', version: '*', resource: 'deployments', subresource: 'scale' },
        ...{ namespace: 'ns', name: 'd', path: '' },
      },
    ],
    ["authorizer.path('/healthz').check('get')", { user, verb: 'get', isResource: false, path: '/healthz' }],
    ["requested.check('delete')", { user, verb: 'delete', isResource: true, resource: 'pods', namespace: 'ns', name: 'p' }],
    [
      "authorizer.serviceAccount('ns', 'builder').group('').resource('pods').check('get')",
      { user: { name: 'system:serviceaccount:ns:builder', groups: ['system:serviceaccounts', 'system:serviceaccounts:ns'] }, verb: 'get' },
    ],
    [
      "authorizer.group('').resource('pods').fieldSelector('spec.nodeName=n').labelSelector('a=b').check('list')",
      { fieldSelector: 'spec.nodeName=n', labelSelector: 'a=b' },
    ],
  ])('is asked by %s', (expression, attributes) => {
    const asked: unknown[] = []
    const { value } = evaluate(`${expression}.allowed()`, a => {
      asked.push(a)
      return { decision: 'allow', reason: '' }
    })
    expect(value).toBe(true)
    expect(asked).toEqual([expect.objectContaining(attributes)])
  })

  it('gives a decision and a reason', () => {
    const authorize: Authorize = () => ({ decision: 'no opinion', reason: 'because' })
    expect(evaluate("requested.check('get').allowed()", authorize).value).toBe(false)
    expect(evaluate("requested.check('get').reason()", authorize).value).toBe('because')
    expect(evaluate("requested.check('get').errored()", authorize).value).toBe(false)
  })

  it('may answer later, once for all evaluations', async () => {
    let asked = 0
    const outcome = evaluate("requested.check('get').allowed() && requested.check('get').reason() == 'yes'", async () => {
      asked++
      return { decision: 'allow', reason: 'yes' }
    })
    expect(outcome.value).toBeUndefined()
    expect(outcome).toHaveProperty('pending')
    await (outcome as { pending?: Promise<void> }).pending
    expect(outcome.again()).toMatchObject({ value: true })
    expect(asked).toBe(1)
  })

  it('that fails decides nothing, and says so', async () => {
    const outcome = evaluate("requested.check('get').errored() && requested.check('get').error() == 'gone'", () =>
      Promise.reject(new Error('gone')),
    )
    expect(outcome).toHaveProperty('pending')
    await (outcome as { pending?: Promise<void> }).pending
    expect(outcome.again()).toMatchObject({ value: true })
  })

  it('costs so much that an expression can ask it only twice', () => {
    const check = "requested.check('get').allowed()"
    const authorize: Authorize = () => ({ decision: 'allow', reason: '' })
    expect(evaluate(`${check} && ${check}`, authorize).value).toBe(true)
    expect(evaluate(`${check} && ${check} && ${check}`, authorize)).toMatchObject({ exceeded: true })
  })

  it.each([
    ["authorizer.path('').check('get').allowed()", 'path must not be empty'],
    ["authorizer.group('').resource(' ').check('get').allowed()", 'resource must not be empty'],
    ["authorizer.serviceAccount('ns', '_').path('/').check('get').allowed()", 'Invalid service account name'],
    ["authorizer.serviceAccount('_', 'n').path('/').check('get').allowed()", 'Invalid service account namespace'],
  ])('is not asked by %s', (expression, error) => {
    expect(evaluate(expression, () => ({ decision: 'allow', reason: '' })).error).toBe(error)
  })

  it('is typed', () => {
    expect(compile('authorizer.allowed()', environment).error).toContain("found no matching overload for 'allowed'")
    expect(compile("requested.check('get').allowed()", environment).program!.type).toBe(types.bool)
  })
})
