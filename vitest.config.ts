import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
    // A machine that lands changes is shared and may stall for seconds. The report marks what needed a second try: a race to be found.
    retry: process.env['CI'] ? 1 : 0,
  },
})
