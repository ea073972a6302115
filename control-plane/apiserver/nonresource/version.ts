import { createHash } from 'node:crypto'

/** What the server says it is. Clients look at major and minor; the rest is there because they expect it. */
export const version = {
  major: '1',
  minor: '35',
  emulationMajor: '1',
  emulationMinor: '35',
  minCompatibilityMajor: '1',
  minCompatibilityMinor: '34',
  gitVersion: 'v1.35.0',
  // Tools read it with a pattern: 40 hexadecimal digits. It is no commit of upstream's.
  gitCommit: createHash('sha1').update('coxswain v1.35.0').digest('hex'),
  gitTreeState: 'clean',
  buildDate: '2025-12-17T00:00:00Z',
  goVersion: 'go1.25.5',
  compiler: 'gc',
  platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
}
