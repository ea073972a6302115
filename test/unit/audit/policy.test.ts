import { describe, expect, test } from 'vitest'
import { auditPolicy, evaluator } from '#control-plane/apiserver/audit/policy.ts'
import { parseRequestInfo } from '#control-plane/apiserver/chain/requestinfo.ts'
import { parseConfig } from '#shared/component/configfile.ts'

const policy = (rules: string): string => `apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n${rules}`
const evaluate = (rules: string) => {
  const verdictOf = evaluator(parseConfig(policy(rules), auditPolicy))
  return (method: string, url: string, name = 'jane', groups = ['system:authenticated']) => {
    const [path, query] = url.split('?') as [string, string | undefined]
    return verdictOf({ name, groups }, parseRequestInfo(method, path, new URLSearchParams(query)))
  }
}

describe('an audit policy', () => {
  test('the first rule that matches decides; nothing is recorded without one', () => {
    const verdictOf = evaluate(`
- {level: None, users: [kube-proxy], verbs: [watch], resources: [{resources: [endpoints, services]}]}
- {level: None, userGroups: ['system:nodes'], verbs: [get], resources: [{resources: [nodes, nodes/status]}]}
- {level: RequestResponse, resources: [{resources: [pods], resourceNames: [a]}], omitStages: [ResponseStarted], omitManagedFields: true}
- {level: Request, resources: [{resources: ['pods/*', '*/scale']}, {group: apps}]}
- {level: Metadata, namespaces: [kube-system]}
- {level: Metadata, nonResourceURLs: ['/healthz*', /version]}`)
    const level = (...args: Parameters<typeof verdictOf>) => verdictOf(...args).level
    expect(level('GET', '/api/v1/services?watch=1', 'kube-proxy')).toBe('None')
    expect(level('GET', '/api/v1/nodes/n/status', 'n', ['system:nodes'])).toBe('None')
    expect(level('GET', '/api/v1/namespaces/x/pods/a')).toBe('RequestResponse')
    // As upstream's code, not its words: the resource itself too.
    expect(level('GET', '/api/v1/namespaces/x/pods/b')).toBe('Request')
    expect(level('GET', '/api/v1/namespaces/x/configmaps/b')).toBe('None')
    expect(level('GET', '/api/v1/namespaces/kube-system/configmaps/b')).toBe('Metadata')
    expect(level('GET', '/api/v1/namespaces/x/pods/b/log')).toBe('Request')
    expect(level('GET', '/api/v1/namespaces/x/replicationcontrollers/b/scale')).toBe('Request')
    expect(level('POST', '/apis/apps/v1/namespaces/x/deployments')).toBe('Request')
    expect(level('GET', '/healthz/ping')).toBe('Metadata')
    expect(level('GET', '/version')).toBe('Metadata')
    expect(level('GET', '/version/')).toBe('None')
    expect([...verdictOf('GET', '/api/v1/namespaces/x/pods/a').omitStages]).toEqual(['RequestReceived', 'ResponseStarted'])
    expect(verdictOf('GET', '/api/v1/namespaces/x/pods/a').omitManagedFields).toBe(true)
    expect(verdictOf('GET', '/version').omitManagedFields).toBe(false)
  })

  test.each([
    ['- {}', 'rules[0].level: Required value'],
    ['- {level: All}', 'rules[0].level: Unsupported value: "All"'],
    ['- {level: None, nonResourceURLs: [version]}', "must begin with a '/' character"],
    ["- {level: None, nonResourceURLs: ['/a*b']}", "wildcards '*' must be the final character"],
    ['- {level: None, nonResourceURLs: [/a], namespaces: [b]}', 'rules cannot apply to both regular resources and non-resource URLs'],
    ['- {level: None, resources: [{group: a/v1}]}', 'rules[0].resources.group: Invalid value: "a/v1"'],
    ['- {level: None, resources: [{resourceNames: [a]}]}', 'using resourceNames requires at least one resource'],
    ['- {level: None, omitStages: [Begin]}', 'rules[0].omitStages[0]: Invalid value: "Begin"'],
    ['- {level: None, verb: [get]}', 'strict decoding error: unknown field "rules[0].verb"'],
    ['  []', 'loaded illegal policy with 0 rules'],
  ])('%s is refused', (rules, message) => expect(() => parseConfig(policy(rules), auditPolicy)).toThrow(message))

  test('is of its kind', () => {
    expect(() => parseConfig('kind: Policy\napiVersion: audit.k8s.io/v2\nrules: []', auditPolicy)).toThrow('no kind "Policy" is registered')
    expect(() => parseConfig('rules: {', auditPolicy)).toThrow('failed decoding: yaml: line 1')
  })
})
