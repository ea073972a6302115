import { defineConfig } from 'vitest/config'

/** Tests of pods that hold for every runtime: once with `oci` as root, and once with `process` as an ordinary user. */
const everyRuntime = [
  'containers',
  'lifecycle',
  'kill',
  'eviction',
  'resize',
  'devices',
  'staging',
  'static',
  'podlife',
  'claims',
  'server',
].map(name => `test/integration/kubelet/${name}.test.ts`)
/** What is tested as an ordinary user alone. */
const ordinaryUser = ['test/integration/rootless/*.test.ts', 'test/e2e/rootless.test.ts']
/** What takes the whole machine. */
const alone = ['test/hollow/*.test.ts', 'test/e2e/failures/busy.test.ts']

export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // The default of a second is short on a machine that has much else to do.
    expect: { poll: { timeout: 15_000 } },
    pool: 'forks',
    // A file finds the modules that another one loaded: a fifth to a half of a run's processor time is loading them.
    isolate: false,
    // Most of a test is waiting.
    maxWorkers: 3,
    // Stages, one after the other: logic; parts and whole clusters; what breaks a cluster, where other load would disturb; what takes the
    // whole machine.
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/unit/**/*.test.ts'], pool: 'threads' } },
      {
        extends: true,
        test: { name: 'parts', include: ['test/integration/**/*.test.ts'], exclude: ordinaryUser, sequence: { groupOrder: 1 } },
      },
      {
        extends: true,
        test: {
          name: 'rootless',
          include: [...everyRuntime, ...ordinaryUser],
          setupFiles: ['test/fixtures/ordinary-user.ts'],
          // A process that has become an ordinary user's stays one.
          isolate: true,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'behaviour',
          include: ['test/e2e/behaviour/*.test.ts'],
          globalSetup: ['test/fixtures/start-shared-cluster.ts'],
          sequence: { groupOrder: 1 },
        },
      },
      { extends: true, test: { name: 'clusters', include: ['test/e2e/*.test.ts'], exclude: ordinaryUser, sequence: { groupOrder: 1 } } },
      {
        extends: true,
        test: { name: 'failures', include: ['test/e2e/failures/*.test.ts'], exclude: alone, maxWorkers: 2, sequence: { groupOrder: 2 } },
      },
      { extends: true, test: { name: 'alone', include: alone, maxWorkers: 1, sequence: { groupOrder: 3 } } },
    ],
  },
})
