import { expect, test } from 'vitest'
import { report, sigOf } from '../../conformance/report.ts'
import { causeOf, type Outcome } from '../../conformance/spec.ts'

test('the cause of a failure is its first, in one line', () => {
  const log = [
    'Nov 27 02:00:00.000: INFO: waiting',
    'Nov 27 02:00:01.000: FAIL: Unexpected error:',
    '    <*errors.StatusError | 0xc0>: {',
    '      no matches',
    '    }',
    '',
    'Full Stack Trace',
    'goroutine 1',
    'Nov 27 02:00:02.000: FAIL: another',
  ].join('\n')
  expect(causeOf(log)).toBe('Unexpected error: <*errors.StatusError | 0xc0>: { no matches }')
  expect(causeOf('nothing of the kind')).toBe('')
})

test('the table counts what passed by group', () => {
  const of = (name: string, result: Outcome['result'], cause = ''): Outcome => ({ name, result, cause, seconds: 1, log: '/logs/1.log' })
  const text = report([of('[sig-node] a', 'passed'), of('[sig-apps] b', 'failed', 'why'), of('[sig-apps] c', 'passed')])
  expect(text).toContain('failed    [sig-apps] b\n          why')
  expect(text).toMatch(/sig-apps +1 of 2\nsig-node +1 of 1\nall +2 of 3$/)
  expect(sigOf('[k8s.io] Pods should')).toBe('k8s.io')
})
