import { expect, test } from 'vitest'
import { chosen, controllers } from '#control-plane/controller-manager/controllers.ts'

const all = Object.values(controllers)
test('controllers are switched by name', () => {
  expect(chosen(['*'])).toEqual(all)
  expect(chosen(['job-controller', 'cronjob-controller'])).toEqual([controllers['job-controller'], controllers['cronjob-controller']])
  expect(chosen(['*', '-job-controller'])).toEqual(all.filter(c => c !== controllers['job-controller']))
  expect(chosen(['-job-controller'])).toEqual([])
  expect(() => chosen(['*', '-jobs'])).toThrow('"jobs" is not in the list of known controllers')
})
