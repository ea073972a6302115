import { describe, expect, it } from 'vitest'
import {
  anonymous,
  authenticateBy,
  byBearerToken,
  byTransport,
  byWebSocketProtocol,
  type Caller,
} from '#control-plane/apiserver/authn/authenticator.ts'
import { TokenError, unionTokens } from '#control-plane/apiserver/authn/token.ts'
import { impersonate } from '#control-plane/apiserver/authn/impersonation.ts'
import { privilegedGroup, union, type Attributes, type Authorizer, type Decision } from '#control-plane/apiserver/authz/authorizer.ts'
import type { ApiRequest, UserInfo } from '#shared/bus/transport.ts'

const user = (name: string, ...groups: string[]): UserInfo => ({ name, groups })
const about = (given: Partial<Attributes> = {}): Attributes => ({
  user: user('u'),
  verb: 'get',
  isResource: true,
  group: '',
  version: 'v1',
  resource: 'pods',
  subresource: '',
  namespace: '',
  name: '',
  path: '',
  ...given,
})
const saying = (d: Decision | Promise<Decision>): Authorizer => ({
  authorize: () => d,
  rulesFor: () => ({ resourceRules: [], nonResourceRules: [], incomplete: true, evaluationError: 'cannot list' }),
})
const request = (headers: Record<string, string>): ApiRequest => ({
  method: 'GET',
  path: '/',
  query: new URLSearchParams(),
  search: '',
  headers,
  body: new Uint8Array(),
  signal: new AbortController().signal,
})

describe('authorizers', () => {
  const no = { decision: 'no opinion', reason: 'no rule' } as const
  const yes = { decision: 'allow', reason: 'a rule' } as const
  const deny = { decision: 'deny', reason: 'never' } as const

  it('are asked in turn until one decides, at once where all answer at once', async () => {
    expect(union([saying(no), saying(yes), saying(deny)]).authorize(about())).toEqual(yes)
    expect(union([saying(deny), saying(yes)]).authorize(about())).toEqual(deny)
    expect(union([saying(no), saying(no)]).authorize(about())).toEqual({ decision: 'no opinion', reason: 'no rule\nno rule' })
    const late = union([saying(no), saying(Promise.resolve(no)), saying(yes)]).authorize(about())
    expect(late).toBeInstanceOf(Promise)
    expect(await late).toEqual(yes)
    expect(await union([saying(Promise.resolve(no)), saying(no)]).authorize(about())).toEqual({
      decision: 'no opinion',
      reason: 'no rule\nno rule',
    })
  })

  it('tell their rules together', async () => {
    expect(await union([privilegedGroup('system:masters')]).rulesFor(user('u', 'system:masters'), 'default')).toEqual({
      resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
      nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
      incomplete: false,
    })
    expect(await union([saying(no)]).rulesFor(user('u'), '')).toMatchObject({ incomplete: true, evaluationError: 'cannot list' })
  })
})

describe('authenticators', () => {
  const audiences = ['api']
  const notes = { warnings: [], annotations: [] }
  const tokens = unionTokens([
    async token => (token === 'first' ? { user: user('one'), audiences } : undefined),
    token => {
      if (token === 'second') return { user: user('two'), audiences }
      if (token === 'old') throw new TokenError('it has expired')
      return undefined
    },
  ])
  const authenticate = (headers: Record<string, string>, caller: Caller) =>
    authenticateBy([byTransport, byBearerToken(tokens, audiences), byWebSocketProtocol(tokens, audiences)])(request(headers), caller, notes)
  it('are asked in turn', async () => {
    expect(authenticate({ authorization: 'Bearer first' }, user('cert'))).toEqual(user('cert'))
    expect(await authenticate({ authorization: 'bearer second' }, undefined)).toEqual(user('two'))
    expect(await authenticate({ authorization: 'Bearer first' }, 'invalid')).toEqual(user('one'))
    expect(authenticate({}, undefined)).toEqual(anonymous)
  })
  it('refuse credentials that do not hold; another scheme is none', async () => {
    for (const token of ['x', 'old'])
      await expect(authenticate({ authorization: `Bearer ${token}` }, undefined)).rejects.toMatchObject({ code: 401 })
    expect(authenticate({ authorization: 'Basic x' }, undefined)).toEqual(anonymous)
    expect(() => authenticate({}, 'invalid')).toThrow('Unauthorized')
  })
  it('say why a token does not hold', async () => {
    await expect(tokens('old', audiences, notes)).rejects.toThrow('it has expired')
    const two = unionTokens([
      () => {
        throw new TokenError('a')
      },
      () => {
        throw new TokenError('b')
      },
      () => undefined,
    ])
    expect(() => two('x', audiences, notes)).toThrow('[a, b]')
  })
  it('find a token in the protocols of a WebSocket, one more of which must be there', async () => {
    const carrying = (token: string, ...others: string[]) => ({
      upgrade: 'websocket',
      'sec-websocket-protocol': [`base64url.bearer.authorization.k8s.io.${Buffer.from(token).toString('base64url')}`, ...others].join(', '),
    })
    expect(await authenticate(carrying('second', 'v5.channel.k8s.io'), undefined)).toEqual(user('two'))
    await expect(authenticate(carrying('x', 'v5.channel.k8s.io'), undefined)).rejects.toThrow('Unauthorized')
    expect(() => authenticate(carrying('second'), undefined)).toThrow('Unauthorized')
  })
})

describe('impersonation', () => {
  const asked: string[] = []
  const authorizer: Authorizer = {
    authorize: a => {
      asked.push(`${a.user.name} ${a.verb} ${a.group}/${a.resource}/${a.subresource} ${a.namespace}/${a.name}`)
      return { decision: a.name === 'forbidden' ? 'no opinion' : 'allow', reason: '' }
    },
    rulesFor: () => ({ resourceRules: [], nonResourceRules: [], incomplete: false }),
  }
  const as = async (headers: Record<string, string>): Promise<UserInfo> => {
    asked.length = 0
    return impersonate(authorizer, request(headers), user('me', 'system:authenticated'))
  }

  it('asks for each part and makes that user', async () => {
    expect(
      await as({
        'impersonate-user': 'bob',
        'impersonate-group': 'devs, ops',
        'impersonate-uid': '7',
        'impersonate-extra-scopes': 'view, edit',
        'impersonate-extra-acme.com%2fproject': 'p',
      }),
    ).toEqual({
      name: 'bob',
      uid: '7',
      groups: ['devs', 'ops', 'system:authenticated'],
      extra: { scopes: ['view', 'edit'], 'acme.com/project': ['p'] },
    })
    expect(asked).toEqual([
      'me impersonate /users/ /bob',
      'me impersonate /groups/ /devs',
      'me impersonate /groups/ /ops',
      'me impersonate authentication.k8s.io/userextras/scopes /view',
      'me impersonate authentication.k8s.io/userextras/scopes /edit',
      'me impersonate authentication.k8s.io/userextras/acme.com/project /p',
      'me impersonate authentication.k8s.io/uids/ /7',
    ])
  })

  it('knows service accounts, and who is nobody', async () => {
    expect(await as({ 'impersonate-user': 'system:serviceaccount:a:b' })).toEqual(
      user('system:serviceaccount:a:b', 'system:serviceaccounts', 'system:serviceaccounts:a', 'system:authenticated'),
    )
    expect(asked).toEqual(['me impersonate /serviceaccounts/ a/b'])
    expect(await as({ 'impersonate-user': 'system:anonymous' })).toEqual(anonymous)
    expect(await as({ 'impersonate-user': 'x', 'impersonate-group': 'system:unauthenticated' })).toEqual(
      user('x', 'system:unauthenticated'),
    )
    expect(await as({})).toEqual(user('me', 'system:authenticated'))
  })

  it('is refused for a part that may not be taken, and without a user', async () => {
    await expect(as({ 'impersonate-user': 'bob', 'impersonate-group': 'forbidden' })).rejects.toMatchObject({
      code: 403,
      message: 'groups "forbidden" is forbidden: User "me" cannot impersonate resource "groups" in API group "" at the cluster scope',
    })
    await expect(as({ 'impersonate-uid': '7' })).rejects.toThrow('requested uid, groups or user-extra without impersonating a user')
  })
})
