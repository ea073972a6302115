import { expect, it } from 'vitest'
import { parseSchedule } from '#shared/machinery/cron.ts'
import { isTimeZone } from '#shared/machinery/timezone.ts'

const problem = (text: string): string => {
  try {
    parseSchedule(text)
    return ''
  } catch (e) {
    return (e as Error).message
  }
}

it('timetables of cron', () => {
  expect(parseSchedule('*/20 8-10,22 ? jan,3 Mon-wed')).toEqual({
    minutes: [0, 20, 40],
    hours: [8, 9, 10, 22],
    daysOfMonth: Array.from({ length: 31 }, (_, i) => i + 1),
    months: [1, 3],
    daysOfWeek: [1, 2, 3],
    anyDayOfMonth: true,
    anyDayOfWeek: false,
  })
  expect(parseSchedule('5/25 0 1 1 *')).toMatchObject({ minutes: [5, 30, 55], anyDayOfWeek: true })
  expect(parseSchedule('@weekly')).toEqual(parseSchedule('0 0 * * 0'))
  expect(parseSchedule('@every 1h30m0.5s')).toEqual({ everyMs: 5_400_000 })
})

it.each([
  ['', 'empty spec string'],
  ['* * * *', 'expected exactly 5 fields, found 4: [* * * *]'],
  ['60 * * * *', 'end of range (60) above maximum (59): 60'],
  ['* * 0 * *', 'beginning of range (0) below minimum (1): 0'],
  ['5-2 * * * *', 'beginning of range (5) beyond end of range (2): 5-2'],
  ['1-2-3 * * * *', 'too many hyphens: 1-2-3'],
  ['*/2/3 * * * *', 'too many slashes: */2/3'],
  ['*/0 * * * *', 'step of range should be a positive number: */0'],
  ['x * * * *', 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'],
  ['* * L * *', 'failed to parse int from L: strconv.Atoi: parsing "L": invalid syntax'],
  ['@reboot', 'unrecognized descriptor: @reboot'],
  ['@every day', 'failed to parse duration @every day: time: invalid duration "day"'],
])('%j is none', (text, message) => {
  expect(problem(text)).toBe(message)
})

it('time zones have names in one form', () => {
  const names = ['Europe/Berlin', 'UTC', 'Etc/UTC', 'US/Pacific', 'Asia/Calcutta', 'europe/berlin', '+01', '05:00', 'Nowhere/Land', '']
  expect(names.filter(isTimeZone)).toEqual(['Europe/Berlin', 'UTC', 'Etc/UTC', 'US/Pacific', 'Asia/Calcutta'])
})
