import { expect, test } from 'vitest'
import { failureOf } from '#shared/client/serverresponse.ts'

test('what is no Status is told in the words of client-go, with what was asked for', () => {
  const of = (code: number, path: string, body = '404 page not found\n') => failureOf('GET', code, body, path).message
  const pods = '/apis/metrics.k8s.io/v1beta1/namespaces/default/pods'
  expect(of(404, pods)).toBe('the server could not find the requested resource (get pods.metrics.k8s.io)')
  expect(of(503, pods)).toBe('the server is currently unable to handle the request (get pods.metrics.k8s.io)')
  expect(of(404, '/apis/apps/v1/deployments/web%2F')).toBe('the server could not find the requested resource (get deployments.apps web/)')
  expect(of(404, '/api/v1/nodes/a')).toBe('the server could not find the requested resource (get nodes a)')
  expect(of(404, '/healthz')).toBe('the server could not find the requested resource')
  expect(of(403, '/api/v1/nodes', 'no')).toBe('no (get nodes)')
  expect(of(502, '/x', 'bad\n')).toBe('an error on the server ("bad") has prevented the request from succeeding')
  expect(of(418, '/x')).toBe('the server responded with the status code 418 but did not return more information')
})

test('a Status is taken as it is', () => {
  const status = { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'NotFound', message: 'pods "a" not found', code: 404 }
  expect(failureOf('GET', 404, JSON.stringify(status), '/api/v1/namespaces/default/pods/a')).toMatchObject({
    reason: 'NotFound',
    message: 'pods "a" not found',
  })
})
