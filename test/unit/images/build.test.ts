import { expect, test } from 'vitest'
import { basesOf } from '#node-agent/image/build.ts'

test('what a Containerfile builds on', () => {
  const file = `ARG X=1
FROM --platform=linux/amd64 golang:1.23 AS build
COPY . .
FROM build AS test
from acme/base \\
  as last
COPY --chown=1:2 --from=build /a /b
COPY --from=0 /a /b
COPY --from=busybox:1 /bin/sh /sh
FROM scratch
FROM $X
`
  expect(basesOf(file)).toEqual(['golang:1.23', 'acme/base', 'busybox:1'])
})
