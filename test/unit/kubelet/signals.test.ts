import { expect, test } from 'vitest'
import { signalName, signalNumber } from '#node-agent/runtime/signals.ts'

test.each([
  ['SIGTERM', 15],
  ['term', 15],
  ['QUIT', 3],
  ['9', 9],
  ['SIGRTMIN', 34],
  ['SIGRTMIN+3', 37],
  ['RTMAX-14', 50],
  ['SIGRTMIN+31', undefined],
  ['0', undefined],
  ['65', undefined],
  ['SIGNONE', undefined],
  ['', undefined],
])('%s', (text, number) => expect(signalNumber(text)).toBe(number))

test.each([
  ['QUIT', 'SIGQUIT'],
  ['15', 'SIGTERM'],
  ['6', 'SIGABRT'],
  ['34', 'SIGRTMIN'],
  ['RTMIN+3', 'SIGRTMIN+3'],
  ['SIGRTMAX-14', 'SIGRTMAX-14'],
  ['64', 'SIGRTMAX'],
  ['33', undefined],
  ['', undefined],
])('the name of %s', (text, name) => expect(signalName(text)).toBe(name))
