import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openImageStore } from '#node-agent/runtime/images/imagestore.ts'
import { eventually, type Scenario } from '../../fixtures/in-node.ts'
import {
  busyboxLayer,
  gzip,
  hardLink,
  program,
  putImage,
  pythonLayers,
  symlink,
  tarOf,
  zstd,
  type TestImage,
} from '../../fixtures/images.ts'
import { containerSpec, directoryOf, node, openRuntime, outputOf } from './containers.ts'

const runtime = node.directory ? await openRuntime() : (undefined as never)
const storeDirectory = join(node.directory, 'node/image-store')
const store = node.directory ? await openImageStore(storeDirectory) : (undefined as never)

let runs = 0
/** Puts an image into the store, and runs a container of it by its name. */
async function run(
  image: TestImage,
  args: string[],
  more: Parameters<typeof containerSpec>[2] = {},
): Promise<{ code: number | undefined; out: string }> {
  const id = `c${++runs}`
  await putImage(store, `test/${id}`, image)
  return await runNamed(`test/${id}`, id, args, more)
}
async function runNamed(name: string, id: string, args: string[], more: Parameters<typeof containerSpec>[2] = {}) {
  const config = (await runtime.images.status(name))!
  const spec = containerSpec(id, args.length > 0 ? args : [...config.entrypoint, ...config.cmd], {
    image: config,
    env: config.env,
    workingDir: config.workingDir,
    ...more,
  })
  await runtime.start(spec)
  const { exitCode } = await runtime.wait(spec.directory, AbortSignal.timeout(20_000))
  return { code: exitCode, out: outputOf(id) }
}
const busybox: TestImage = node.directory ? { layers: [gzip(busyboxLayer())], config: { Cmd: ['sh'], Env: ['PATH=/bin'] } } : { layers: [] }

export const scenario: Scenario = {
  async 'a container of an image sees the image, and nothing of the machine'() {
    const { code, out } = await run(busybox, ['sh', '-c', 'ls /; ls /usr /opt 2>&1; cat /etc/os-release 2>&1; echo here > /made'])
    assert.equal(code, 0)
    const [listing, rest] = [out.split('\n').slice(0, -3), out.split('\n').slice(-3)]
    assert.deepEqual(listing, ['bin', 'dev', 'etc', 'home', 'lib', 'lib64', 'proc', 'root', 'sys', 'tmp'])
    assert.match(rest.join('\n'), /usr: No such file.*\n.*opt: No such file.*\n.*os-release.*: No such file/)
  },

  async 'a static program in an image with nothing else'() {
    const { code, out } = await run(
      { layers: [tarOf([program('ldconfig', '/sbin/ldconfig')])], config: { Entrypoint: ['/ldconfig', '--version'] } },
      [],
    )
    assert.equal(code, 0)
    assert.match(out, /^ldconfig/)
  },

  async 'an application with a user, a working directory, an entrypoint and libraries'() {
    const source =
      'import json, os, sys\nprint(json.dumps([os.getuid(), os.getgid(), os.getcwd(), sys.argv[1:], os.environ["MODE"], os.environ["HOME"]]))\n'
    const config = {
      User: 'web',
      WorkingDir: '/app',
      Entrypoint: ['python3', 'main.py'],
      Cmd: ['--fast'],
      Env: ['PATH=/usr/bin', 'MODE=production'],
    }
    const { code, out } = await run({ layers: pythonLayers(source), config }, [])
    assert.equal(code, 0, out)
    assert.deepEqual(JSON.parse(out), [4000, 4000, '/app', ['--fast'], 'production', '/app'])
  },

  async 'layers on each other: whiteouts, opaque directories, links across, compressed in any way'() {
    const second = tarOf([
      { name: '.wh.home' },
      { name: 'etc/.wh.group' },
      { name: 'data/.wh..wh..opq' },
      { name: 'data/new', content: 'new' },
      hardLink('bin/head', 'bin/busybox'),
      { name: 'lib/written-through-a-link', content: 'yes' },
      { name: 'redone/', mode: 0o700 },
      { name: '.wh.redone' },
      { name: 'redone/second', content: 'x' },
    ])
    const first = tarOf([
      { name: 'data/old', content: 'old' },
      { name: 'data/deep/old', content: 'old' },
      { name: 'redone/first', content: 'x' },
      { name: 'redone/second', content: 'first' },
      symlink('etc/alternatives', '/lib'),
    ])
    const third = tarOf([{ name: 'etc/alternatives/third', content: 'through' }])
    const script =
      'ls -d /home /etc/group 2>&1; ls /data /redone; cat /redone/second; /bin/head /lib/written-through-a-link; cat /lib/third; stat -c %a /tmp /redone'
    const { out } = await run({ ...busybox, layers: [...busybox.layers, zstd(first), gzip(second), third] }, ['sh', '-c', script])
    assert.match(out, /home: No such file[^\n]*\n[^\n]*group: No such file[^\n]*\n\/data:\nnew\n\n\/redone:\nsecond\nxyesthrough1777\n700/)
  },

  async 'users by name, by number, and of no account'() {
    const id = ['sh', '-c', 'id -u; id -g; id -G']
    const named = await run({ ...busybox, config: { Env: ['PATH=/bin'], User: 'app' } }, id)
    assert.deepEqual(named.out.split('\n').slice(0, 2), ['1234', '1235'])
    assert.deepEqual(new Set(named.out.split('\n')[2]!.split(' ')), new Set(['1235', '77']))
    const number = await run({ ...busybox, config: { Env: ['PATH=/bin'], User: '9876' } }, id)
    assert.deepEqual(number.out.split('\n').slice(0, 2), ['9876', '0'])
    await assert.rejects(
      run({ ...busybox, config: { User: 'nobody-known' } }, id),
      /unable to find user nobody-known: no matching entries in passwd file/,
    )
  },

  async 'a working directory that is not there is made'() {
    const { out } = await run({ ...busybox, config: { WorkingDir: '/a/b c', Env: ['PATH=/bin'] } }, ['pwd'])
    assert.equal(out, '/a/b c')
  },

  async 'a root that is read-only, with volumes that are not and begin with what the image has there'() {
    const layers = [
      ...busybox.layers,
      tarOf([
        { name: 'data/', mode: 0o700, uid: 1234, gid: 1235 },
        { name: 'data/first', content: 'of the image' },
        symlink('link', 'data/sub'),
        { name: 'data/sub/x' },
      ]),
    ]
    const config = { Env: ['PATH=/bin'], Volumes: { '/data': {}, '/made/for/it': {}, '/link': {} } }
    const script = 'cat /data/first; touch /data/second /made/for/it/file /link/y && ls /data/sub; stat -c "%a %u" /data; touch /no 2>&1'
    const { out, code } = await run({ layers, config }, ['sh', '-c', script], { readOnlyRootFilesystem: true })
    assert.equal(out, 'of the imagex\ny\n700 1234\ntouch: /no: Read-only file system')
    assert.equal(code, 1)
  },

  async 'set-user-ID programs and file capabilities are as in the image'() {
    // cap_net_bind_service+ep
    const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex')
    const layer = tarOf([
      { ...program('suid', '/usr/bin/busybox'), mode: 0o4755 },
      { ...program('cap', '/usr/bin/busybox'), xattrs: { 'security.capability': capability } },
    ])
    const names = { Entrypoint: [], Env: ['PATH=/bin'] }
    await putImage(store, 'test/special', { layers: [...busybox.layers, layer], config: names })
    const config = (await runtime.images.status('test/special'))!
    const file = join(config.root!.layers[0]!.directory, 'cap')
    const { execFileSync } = await import('node:child_process')
    const read = execFileSync('/usr/bin/python3', [
      '-c',
      'import os,sys; print(os.getxattr(sys.argv[1], "security.capability").hex())',
      file,
    ])
    assert.equal(read.toString().trim(), capability.toString('hex'))
    const { out } = await runNamed('test/special', 'special', ['sh', '-c', 'stat -c "%a %u" /suid'])
    assert.equal(out, '4755 0')
  },

  async 'what runs keeps its layers, whatever is removed'() {
    await putImage(store, 'test/running', busybox)
    const stored = (await store.find('test/running'))!
    const image = (await runtime.images.status('test/running'))!
    await runtime.start(containerSpec('running', ['sleep', '1000'], { image, env: ['PATH=/bin'] }))
    assert.equal(await store.inUse(stored), true)
    await store.untag((await store.list()).flatMap(i => i.names))
    await store.prune()
    assert.ok(existsSync(join(image.root!.layers[0]!.directory, 'bin/busybox')))
    await runtime.remove(directoryOf('running'))
    await eventually(async () => assert.equal(await store.inUse(stored), false))
    await store.prune()
    assert.deepEqual(readdirSync(join(storeDirectory, 'layers')), [])
    assert.deepEqual(readdirSync(join(storeDirectory, 'blobs/sha256')), [])
  },

  async 'an account file that is a link leads nowhere out of the image'() {
    writeFileSync('/run/secret-passwd', 'evil:x:0:0::/:\n')
    const image = {
      layers: [...busybox.layers, tarOf([symlink('etc/passwd', '/run/secret-passwd')])],
      config: { User: 'evil', Env: ['PATH=/bin'] },
    }
    await assert.rejects(run(image, ['id']), /unable to find user evil/)
    assert.ok(readFileSync('/run/secret-passwd'))
  },
}
