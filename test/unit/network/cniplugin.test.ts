/** What plugins are asked after a pod was added: a program that writes down how it was called, and fails when it is told to. */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parseNetwork } from '#node-agent/network/cni/config.ts'
import { checkNetwork, collectGarbage, type Place } from '#node-agent/network/cni/plugin.ts'

let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'cox-cni-'))
  for (const type of ['one', 'two']) {
    const log = join(dir, `${type}.log`)
    const broken = `[ -e ${dir}/broken ] && { echo '{"code":7,"msg":"not there"}'; exit 1; }`
    writeFileSync(
      join(dir, type),
      `#!/bin/sh\n{ echo "$CNI_COMMAND|$CNI_CONTAINERID|$CNI_NETNS|$CNI_IFNAME"; cat; echo; } >>${log}\n${broken}\nexit 0\n`,
    )
    chmodSync(join(dir, type), 0o755)
  }
})
afterEach(() => rmSync(dir, { recursive: true }))

const network = (cniVersion: string, more: object = {}) =>
  parseNetwork(
    JSON.stringify({ cniVersion, name: 'n', plugins: [{ type: 'one', capabilities: { ipRanges: true } }, { type: 'two' }], ...more }),
  )
const place: Place = { containerId: 'c', netns: '/run/netns/c', ifname: 'eth0', args: {}, capabilities: { ipRanges: [] } }
/** How a plugin was called, and its configuration. */
function asked(type: string): [string, Record<string, unknown>] | undefined {
  const file = join(dir, `${type}.log`)
  if (!existsSync(file)) return undefined
  const [how = '', config = ''] = readFileSync(file, 'utf8').split('\n')
  return [how, JSON.parse(config) as Record<string, unknown>]
}

test('CHECK: every plugin is given what was answered; the first that fails says why', async () => {
  const result = { ips: [{ address: '10.1.0.2/24' }] }
  await checkNetwork(network('0.4.0'), place, [dir], result)
  const [how, config] = asked('one')!
  expect(how).toBe('CHECK|c|/run/netns/c|eth0')
  expect(config).toMatchObject({ name: 'n', cniVersion: '0.4.0', prevResult: result, runtimeConfig: { ipRanges: [] } })
  expect(asked('two')).toBeDefined()
  writeFileSync(join(dir, 'broken'), '')
  await expect(checkNetwork(network('0.4.0'), place, [dir], result)).rejects.toThrow('plugin type="one" failed (check): not there')
})

test('GC: every plugin is told who is there, whichever of them fails', async () => {
  writeFileSync(join(dir, 'broken'), '')
  const failures = await collectGarbage(network('1.1.0'), [place, { containerId: 'd', ifname: 'net1' }], [dir])
  expect(failures.map(f => f.message)).toEqual(['one', 'two'].map(type => `plugin type="${type}" failed (gc): not there`))
  const [how, config] = asked('two')!
  expect(how).toBe('GC|||')
  expect(config['cni.dev/valid-attachments']).toEqual([{ containerID: 'c', ifname: 'eth0' }, { containerID: 'd', ifname: 'net1' }]) // prettier-ignore
})

test.each([
  ['0.3.1', {}, false, false],
  ['1.0.0', {}, true, false],
  ['1.1.0', {}, true, true],
  ['1.1.0', { disableCheck: true }, false, true],
  ['1.1.0', { disableGC: true }, true, false],
])('version %s with %o', async (version, more, checks, collects) => {
  await checkNetwork(network(version, more), place, [dir], {})
  expect(asked('one')?.[0].startsWith('CHECK') ?? false).toBe(checks)
  rmSync(join(dir, 'one.log'), { force: true })
  await collectGarbage(network(version, more), [], [dir])
  expect(asked('one')?.[0].startsWith('GC') ?? false).toBe(collects)
})
