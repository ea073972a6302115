import { describe, expect, it } from 'vitest'
import fc from 'fast-check'
import { parseRequestInfo } from '#control-plane/apiserver/chain/requestinfo.ts'
import { StatusError } from '#shared/machinery/status.ts'

const parse = (method: string, url: string) => {
  const [path = '', query = ''] = url.split('?')
  const { verb, group, version, namespace, resource, subresource, name, isResource } = parseRequestInfo(
    method,
    path,
    new URLSearchParams(query),
  )
  return isResource ? [verb, `${group}/${version}`, namespace, resource, name, subresource] : [verb]
}

describe('request info', () => {
  it('of resource paths', () => {
    const cases: [string, string, string[]][] = [
      ['GET', '/api/v1/namespaces', ['list', '/v1', '', 'namespaces', '', '']],
      ['GET', '/api/v1/namespaces/other', ['get', '/v1', '', 'namespaces', 'other', '']],
      ['PUT', '/api/v1/namespaces/other/finalize', ['update', '/v1', '', 'namespaces', 'other', 'finalize']],
      ['PATCH', '/api/v1/namespaces/other/status', ['patch', '/v1', '', 'namespaces', 'other', 'status']],
      ['GET', '/api/v1/namespaces/other/pods', ['list', '/v1', 'other', 'pods', '', '']],
      ['GET', '/api/v1/namespaces/other/pods?watch=true', ['watch', '/v1', 'other', 'pods', '', '']],
      ['GET', '/api/v1/namespaces/other/pods?watch=True', ['watch', '/v1', 'other', 'pods', '', '']],
      ['GET', '/api/v1/namespaces/other/pods?watch=FALSE', ['list', '/v1', 'other', 'pods', '', '']],
      ['GET', '/api/v1/namespaces/other/pods?watch=false', ['list', '/v1', 'other', 'pods', '', '']],
      ['GET', '/api/v1/namespaces/other/pods/foo', ['get', '/v1', 'other', 'pods', 'foo', '']],
      ['GET', '/api/v1/watch/namespaces/other/pods', ['watch', '/v1', 'other', 'pods', '', '']],
      ['GET', '/api/v1/watch/pods', ['watch', '/v1', '', 'pods', '', '']],
      ['POST', '/api/v1/namespaces/other/pods/foo/binding', ['create', '/v1', 'other', 'pods', 'foo', 'binding']],
      ['DELETE', '/api/v1/namespaces/other/pods', ['deletecollection', '/v1', 'other', 'pods', '', '']],
      ['DELETE', '/api/v1/namespaces/other/pods/foo', ['delete', '/v1', 'other', 'pods', 'foo', '']],
      ['GET', '/apis/apps/v1/namespaces/other/deployments/d/scale', ['get', 'apps/v1', 'other', 'deployments', 'd', 'scale']],
      ['GET', '/apis/apps/v1/deployments', ['list', 'apps/v1', '', 'deployments', '', '']],
      ['GET', '/api/v1/namespaces/a/configmaps/x%2Fy', ['get', '/v1', 'a', 'configmaps', 'x/y', '']],
    ]
    for (const [method, url, want] of cases) expect(parse(method, url), url).toEqual(want)
  })

  it('of other paths', () => {
    for (const path of ['/', '/api', '/api/v1', '/apis', '/apis/apps', '/apis/apps/v1', '/version', '/api/v1/watch'])
      expect(parse('GET', path), path).toEqual(['get'])
  })

  it('never fails otherwise than with a 400', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('GET', 'POST', 'PUT', 'BREW'),
        fc.array(fc.oneof(fc.constantFrom('api', 'apis', 'v1', 'namespaces', 'watch', 'pods', '%', '%41', '..', ''), fc.string())),
        (method, parts) => {
          try {
            parseRequestInfo(method, `/${parts.join('/')}`, new URLSearchParams())
          } catch (e) {
            expect(e).toBeInstanceOf(StatusError)
            expect((e as StatusError).code).toBe(400)
          }
        },
      ),
    )
  })
})
