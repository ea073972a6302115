/** What a container can do to its volumes while the kubelet works on them, and before it removes them. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { podDirectory } from '#node-agent/kubelet/pod/directory.ts'
import { ownByGroup } from '#node-agent/kubelet/volumes/ownership.ts'
import { tearDownVolumes } from '#node-agent/kubelet/volumes/podvolumes.ts'
import { volumePlugins } from '#node-agent/kubelet/volumes/plugins.ts'
import { stagedVolumes } from '#node-agent/kubelet/volumes/staged.ts'
import { bindSubPath } from '#node-agent/kubelet/volumes/subpath.ts'
import { listMounts } from '#shared/linux/mount.ts'
import { nodeContext, type Scenario } from '../../fixtures/in-node.ts'

const node = nodeContext()
const pod = podDirectory(node.directory, 'uid')
const volume = join(pod.volumes, 'kubernetes.io~empty-dir/v')
const outside = join(node.directory, 'outside')
const target = (n: number | string): string => join(pod.subPaths, 'v/c', String(n))
const mounted = async (): Promise<string[]> => (await listMounts()).map(m => m.target).filter(t => t.startsWith(pod.root))

/** Exchanges two names as fast as it can, as a container may, while `work` is done. */
async function whileExchanged(pairs: [string, string][], work: () => Promise<void>): Promise<void> {
  const renameat2 = { x64: 316, arm64: 276 }[process.arch as string]
  const script = `my @p = @ARGV; while (1) { for (my $i = 0; $i < @p; $i += 2) { syscall(${renameat2}, -100, $p[$i], -100, $p[$i + 1], 2) } }`
  const container = spawn('perl', ['-e', script, ...pairs.flat()], { stdio: 'ignore' })
  try {
    await work()
  } finally {
    container.kill('SIGKILL')
  }
}

function fresh(): void {
  for (const path of [volume, outside]) {
    rmSync(path, { recursive: true, force: true })
    mkdirSync(path, { recursive: true })
  }
  writeFileSync(join(outside, 'keep'), "the node's own")
}

export const scenario: Scenario = {
  async 'subPath: a directory, a file, links inside, what is missing'() {
    fresh()
    mkdirSync(join(volume, 'a/b'), { recursive: true })
    writeFileSync(join(volume, 'a/f'), 'one')
    symlinkSync('a', join(volume, 'in'))
    symlinkSync('../in/./f', join(volume, 'a/link'))
    for (const [n, path] of ['a/f', 'a/link', 'in/link'].entries()) {
      await bindSubPath(volume, path, target(n))
      assert.equal(readFileSync(target(n), 'utf8'), 'one')
    }
    await bindSubPath(volume, 'in/new/er', target('new'))
    writeFileSync(join(target('new'), 'x'), '')
    assert.deepEqual(readdirSync(join(volume, 'a/new/er')), ['x'])
    // The same again is no second mount, another place takes its turn.
    await bindSubPath(volume, 'a/new/er', target('new'))
    assert.equal((await mounted()).length, 4)
    await bindSubPath(volume, 'a', target('new'))
    assert.equal((await mounted()).length, 4)
    assert.equal(readFileSync(join(target('new'), 'f'), 'utf8'), 'one')
  },

  async 'subPath: nothing outside, in words without paths of the node'() {
    const links = { absolute: outside, relative: '../../../outside', up: '..', loop: 'loop' }
    for (const [name, to] of Object.entries(links)) symlinkSync(to, join(volume, name))
    for (const name of ['absolute', 'absolute/keep', 'relative', 'up/v', '../v', '/etc'])
      await assert.rejects(bindSubPath(volume, name, target('out')), { message: `subPath "${name}" leads out of its volume` })
    await assert.rejects(bindSubPath(volume, 'loop', target('out')), { message: 'subPath "loop": ELOOP' })
    await assert.rejects(bindSubPath(volume, 'a/f/x', target('out')), { message: 'subPath "a/f/x": ENOTDIR' })
  },

  async 'subPath: a container that exchanges a directory and a link gets nothing outside'() {
    fresh()
    mkdirSync(join(volume, 'x'))
    symlinkSync(outside, join(volume, 'y'))
    let bound = 0
    await whileExchanged([[join(volume, 'x'), join(volume, 'y')]], async () => {
      for (let n = 0; n < 60; n++) {
        const done = await bindSubPath(volume, 'x', target(n)).then(
          () => true,
          () => false,
        )
        if (!done) continue
        bound++
        assert.deepEqual(readdirSync(target(n)), [])
      }
    })
    assert.ok(bound > 0)
  },

  async 'fsGroup: a container that exchanges directories and links gives away nothing outside'() {
    fresh()
    mkdirSync(join(outside, 'sub'))
    for (const name of ['f', 'sub/f']) writeFileSync(join(outside, name), '', { mode: 0o600 })
    const pairs: [string, string][] = []
    for (let n = 0; n < 20; n++) {
      mkdirSync(join(volume, `d${n}`))
      writeFileSync(join(volume, `d${n}/f`), '')
      symlinkSync(join(outside, 'sub'), join(volume, `l${n}`))
      writeFileSync(join(volume, `f${n}`), '')
      symlinkSync(join(outside, 'f'), join(volume, `m${n}`))
      pairs.push([join(volume, `d${n}`), join(volume, `l${n}`)], [join(volume, `f${n}`), join(volume, `m${n}`)])
    }
    await whileExchanged(pairs, async () => {
      for (let n = 0; n < 60; n++) await ownByGroup(volume, 4000 + n, true).catch(() => {})
    })
    for (const name of ['f', 'sub/f', 'sub', 'keep']) assert.equal(lstatSync(join(outside, name)).gid, 0, name)
    await ownByGroup(volume, 4242, true)
    for (const name of readdirSync(volume)) assert.equal(lstatSync(join(volume, name)).gid, 4242)
  },

  async 'everything is removed: paths of any length, names that are no text, what is mounted stays whole'() {
    fresh()
    await bindSubPath(volume, 'x', target(0))
    execFileSync('mount', ['--bind', outside, join(volume, 'x')])
    const make = `for i in $(seq 1 300); do mkdir ${'a'.repeat(48)} && cd ${'a'.repeat(48)}; done
      cd "$1"; touch "$(printf '\\377\\376x')"; mkdir "$(printf 'd\\300\\200')"; touch "$(printf 'd\\300\\200')/f"; mkfifo fifo; touch -- -rf '*'; mkdir -m 0 closed`
    execFileSync('bash', ['-c', make, 'sh', volume], { cwd: volume })
    await tearDownVolumes({ plugins: volumePlugins, staged: stagedVolumes(node.directory, volumePlugins) }, 'uid', pod)
    assert.deepEqual(readdirSync(pod.root), [])
    assert.equal(existsSync(join(outside, 'keep')), true)
    assert.deepEqual(await mounted(), [])
  },
}
