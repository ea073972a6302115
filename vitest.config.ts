import { defineConfig } from 'vitest/config'

/** Tests of pods that hold for every runtime: once with `oci` as root, and once with `process` as an ordinary user. */
const everyRuntime = ['containers', 'lifecycle', 'kill', 'eviction', 'resize', 'staging'].map(
  name => `test/integration/kubelet/${name}.test.ts`,
)
/** What is tested as an ordinary user alone. */
const ordinaryUser = ['test/integration/rootless/*.test.ts', 'test/e2e/rootless.test.ts']

export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // The default of a second is short on a machine that has much else to do.
    expect: { poll: { timeout: 15_000 } },
    pool: 'forks',
    maxWorkers: 2,
    // A machine that lands changes is shared and may stall for seconds. The report marks what needed a second try: a race to be found.
    retry: process.env['CI'] ? 1 : 0,
    projects: [
      { extends: true, test: { name: 'root', include: ['test/**/*.test.ts'], exclude: ordinaryUser } },
      {
        extends: true,
        test: { name: 'rootless', include: [...everyRuntime, ...ordinaryUser], setupFiles: ['test/fixtures/ordinary-user.ts'] },
      },
    ],
  },
})
