import { expect, test } from 'vitest'
import { signalNumber } from '#node-agent/runtime/signals.ts'

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
