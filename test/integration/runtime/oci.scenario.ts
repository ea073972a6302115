import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { cgroupDirectory, cgroupTrees, isCgroup2 } from '#shared/linux/cgroup.ts'
import { listMounts } from '#shared/linux/mount.ts'
import { probeRuntime } from '#node-agent/runtime/probe.ts'
import { eventually, type Scenario } from '../../fixtures/in-node.ts'
import { bytes, containerSpec, directoryOf, exec, logOf, node, openRuntime, outputOf } from './containers.ts'

const runtime = node.directory ? await openRuntime() : (undefined as never)
const run = async (...args: Parameters<typeof containerSpec>): Promise<number | undefined> => {
  const { directory } = containerSpec(...args)
  await runtime.start(containerSpec(...args))
  return (await runtime.wait(directory, AbortSignal.timeout(20_000))).exitCode
}

export const scenario: Scenario = {
  async 'the probe starts a container'() {
    const probe = await probeRuntime({ rootDir: join(node.directory, 'node'), cgroupRoot: node.cgroup })
    assert.equal(probe.ok, true, JSON.stringify(probe))
  },

  async 'a container runs, logs in CRI format and tells its exit code'() {
    const status = await runtime.start(containerSpec('first', ['sh', '-c', 'echo out; echo err >&2; exit 3']))
    assert.notEqual(status.state, 'created')
    const end = await runtime.wait(directoryOf('first'))
    assert.equal(end.exitCode, 3)
    assert.ok(end.finishedAt! >= end.startedAt!)
    assert.match(logOf('first'), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\S+ stdout F out$/m)
    assert.match(logOf('first'), / stderr F err$/m)
  },

  async 'what a container must not see is hidden, and writes stay in it'() {
    mkdirSync(join(node.directory, 'secret'), { recursive: true })
    writeFileSync('/run/of-the-node', 'x')
    const look = `ls -A /root /home /run /tmp; ls ${node.directory} 2>&1; echo changed > /etc/hostname-of-test; test -w /tmp && echo tmp`
    assert.equal(await run('hidden', ['sh', '-c', look]), 0)
    assert.doesNotMatch(outputOf('hidden'), /of-the-node|secret|\bnode\b$/m)
    assert.match(outputOf('hidden'), /^tmp$/m)
    assert.equal(existsSync('/etc/hostname-of-test'), false)
  },

  async 'of the node a container sees programs, and what these need'() {
    const look = `echo / $(ls -A /); for d in home media mnt opt root run srv tmp var/log var/cache var/lib; do echo $d $(find /$d -type f | head -3); done
      ls -l /etc/ssl/certs | wc -l; cut -d: -f2 /etc/shadow | sort -u; cut -d: -f3 /etc/passwd | sort -n | tail -2 | head -1; ls /etc/ssl/private 2>&1; id -un; test -e /etc/ld.so.cache && echo libraries`
    await run('seen', ['sh', '-c', look])
    const [top = '', ...lines] = outputOf('seen').split('\n')
    const known = '/ bin dev etc home lib lib32 lib64 libx32 media mnt opt proc root run sbin srv sys tmp usr var'.split(' ')
    assert.deepEqual(
      top.split(' ').filter(name => !known.includes(name)),
      [],
    )
    assert.deepEqual(lines.slice(0, 11), ['home', 'media', 'mnt', 'opt', 'root', 'run', 'srv', 'tmp', 'var/log', 'var/cache', 'var/lib'])
    const [certificates, password, highest, ...rest] = lines.slice(11)
    assert.ok(Number(certificates) > 1 === readdirSync('/etc/ssl/certs').length > 1)
    assert.equal(password, '*')
    assert.ok(Number(highest) < 1000)
    assert.deepEqual(rest.slice(1), ['root', 'libraries'])
    assert.match(rest[0] ?? '', /ssl.private.*No such file/)
  },

  async 'a container of a read-only root writes nowhere but to its mounts'() {
    const mounts = [{ destination: '/usr/share/of-the-test/inner', tmpfsBytes: 1 << 20, readOnly: false, propagation: 'private' as const }]
    const script =
      'exec 2>&1; for p in /x /usr/x /usr/bin/x /etc/x; do touch $p && echo wrote $p; done; touch /usr/share/of-the-test/inner/x && echo inner'
    await run('read-only', ['sh', '-c', script], { readOnlyRootFilesystem: true, mounts })
    assert.doesNotMatch(outputOf('read-only'), /wrote/)
    assert.match(outputOf('read-only'), /^inner$/m)
    await run('writable', ['sh', '-c', script, 'sh'])
    assert.equal(outputOf('writable').match(/^wrote/gm)?.length, 4)
    assert.deepEqual(['/x', '/usr/x', '/usr/bin/x'].filter(existsSync), [])
  },

  async 'mounts: directory, single file, read-only, tmpfs, places that do not exist'() {
    const volume = join(node.directory, 'volume')
    mkdirSync(volume)
    writeFileSync(join(volume, 'f'), 'from the volume\n')
    const mounts = [
      { destination: '/new/dir/inner', tmpfsBytes: 1 << 20, readOnly: false, propagation: 'private' as const },
      { destination: '/new/dir', source: volume, readOnly: false, propagation: 'private' as const },
      { destination: '/new/file', source: join(volume, 'f'), readOnly: true, propagation: 'private' as const },
      { destination: '/var/run/secrets/x', source: volume, readOnly: true, propagation: 'private' as const },
    ]
    mkdirSync(join(volume, 'inner'))
    const script =
      'cat /new/file /run/secrets/x/f; echo w > /new/dir/w; echo no > /new/file; echo no > /run/secrets/x/y; stat -f -c %T /new/dir/inner; ls -d /new/dir'
    await run('mounts', ['sh', '-c', script], { mounts })
    assert.equal(readFileSync(join(volume, 'w'), 'utf8'), 'w\n')
    const output = outputOf('mounts')
    assert.equal(output.match(/from the volume/g)?.length, 2)
    assert.equal(output.match(/Read-only file system/g)?.length, 2)
    assert.match(output, /tmpfs/)
    assert.equal(existsSync('/new'), false)
  },

  async 'mountPropagation: what is mounted in a Bidirectional volume is mounted on the node, and in containers of HostToContainer'() {
    // As node-init leaves it.
    execFileSync('mount', ['--make-rshared', '/'])
    const volume = join(node.directory, 'propagated')
    mkdirSync(join(volume, 'at'), { recursive: true })
    const of = (propagation: 'private' | 'rslave' | 'rshared') => ({
      mounts: [{ destination: '/v', source: volume, readOnly: false, propagation }],
    })
    await runtime.start(containerSpec('slave', ['sleep', '1000'], of('rslave')))
    await runtime.start(containerSpec('apart', ['sleep', '1000'], of('private')))
    // Tests beside this one mount, too.
    const mounts = async () => (await listMounts()).filter(m => m.target.startsWith(node.directory) || m.target === '/mnt').length
    const before = await mounts()
    await runtime.start(containerSpec('driver', ['sleep', '1000'], { privileged: true, ...of('rshared') }))
    assert.equal((await exec(runtime, 'driver', ['sh', '-c', 'mount -t tmpfs t /v/at && touch /v/at/f && mount -t tmpfs t /mnt'])).code, 0)
    assert.deepEqual(readdirSync(join(volume, 'at')), ['f'])
    const see = async (id: string) => (await exec(runtime, id, ['ls', '/v/at'])).out
    assert.deepEqual([await see('slave'), await see('apart')], ['f\n', ''])
    execFileSync('umount', [join(volume, 'at')])
    assert.deepEqual([await see('slave'), await see('driver')], ['', ''])
    assert.equal((await exec(runtime, 'driver', ['sh', '-c', 'mount -t tmpfs t /v/at && touch /v/at/g'])).code, 0)
    // What it mounted for the node outlives it, and nothing else.
    await runtime.remove(directoryOf('driver'))
    assert.deepEqual(readdirSync(join(volume, 'at')), ['g'])
    assert.equal(await mounts(), before + 1)
    execFileSync('umount', [join(volume, 'at')])
    await Promise.all(['slave', 'apart'].map(id => runtime.remove(directoryOf(id))))
  },

  async 'users, groups, capabilities, no new privileges, read-only root'() {
    await run('user', ['sh', '-c', 'id; grep -E "CapEff|NoNewPrivs" /proc/self/status; touch /x'], {
      user: { uid: 1234, gid: 55, supplementalGroups: [77, 88] },
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
    })
    assert.match(outputOf('user'), /uid=1234 gid=55\(?.*groups=.*77.*88/)
    assert.match(outputOf('user'), /CapEff:\s+0000000000000000/)
    assert.match(outputOf('user'), /NoNewPrivs:\s+1/)
    assert.match(outputOf('user'), /touch: .*Read-only file system/)
    await run('image-user', ['id', '-un'], {
      image: { image: '', id: '', entrypoint: [], cmd: [], env: [], workingDir: '', user: 'nobody' },
    })
    assert.equal(outputOf('image-user'), 'nobody')
    await run('caps', ['grep', 'CapEff', '/proc/self/status'], { capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] } })
    assert.match(outputOf('caps'), /CapEff:\s+0000000000001000/)
    await assert.rejects(run('nocap', ['true'], { capabilities: { add: ['FLY'], drop: [] } }), /unknown capability "CAP_FLY"/)
    await run('privileged', ['sh', '-c', 'mount -t tmpfs t /mnt && test -e /dev/kmsg && echo mounted; grep NoNewPrivs /proc/self/status'], {
      privileged: true,
    })
    assert.match(outputOf('privileged'), /^mounted$/m)
  },

  async 'environment, working directory, host name, sysctls'() {
    await run('env', ['sh', '-c', 'echo $A $HOSTNAME $(hostname) $PWD $HOME $PATH; cat /proc/sys/kernel/shm_rmid_forced'], {
      env: ['A=b c'],
      workingDir: '/not/there',
      hostname: 'my-pod',
      sysctls: { 'kernel.shm_rmid_forced': '1' },
    })
    assert.equal(outputOf('env'), 'b c my-pod my-pod /not/there /root /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n1')
  },

  async 'a container that cannot start says why and leaves nothing'() {
    const missing = containerSpec('missing', ['no-such-program'])
    await assert.rejects(runtime.start(missing), {
      message:
        'failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "no-such-program": executable file not found in $PATH: unknown',
    })
    assert.equal(existsSync(missing.directory), false)
    assert.equal(await runtime.status(missing.directory), undefined)
    await assert.rejects(
      run('nomount', ['true'], { mounts: [{ destination: '/x', source: '/no/such/source', readOnly: false, propagation: 'private' }] }),
      /OCI runtime create failed: .*\/no\/such\/source/,
    )
  },

  async 'death by lack of memory is told apart'() {
    await runtime.start(
      containerSpec('oom', [process.execPath, '-e', 'const a=[];for(;;)a.push(Buffer.alloc(8<<20,1))'], {
        resources: { memoryBytes: 48 << 20, cpuShares: 512, cpuQuotaMicros: 50_000, pids: 100 },
        mounts: [{ destination: process.execPath, source: process.execPath, readOnly: true, propagation: 'private' }],
      }),
    )
    const end = await runtime.wait(directoryOf('oom'))
    assert.deepEqual([end.exitCode, end.oomKilled], [137, true])
  },

  async 'root in a container does not lift its limits'() {
    // Through a user and a cgroup namespace of its own, where it may mount the trees of control groups.
    const lift = isCgroup2()
      ? 'mount -t cgroup2 c /mnt; echo max >/mnt/memory.max; echo max >/mnt/pids.max'
      : 'for c in memory pids; do mkdir -p /tmp/$c; mount -t cgroup -o $c c /tmp/$c; done; echo -1 >/tmp/memory/memory.limit_in_bytes; echo max >/tmp/pids/pids.max'
    const grow = 'const a=[];for(;;){a.push(Buffer.alloc(8<<20,1));if(a.length>16){console.log("LIFTED");process.exit(0)}}'
    await runtime.start(
      containerSpec('lift', ['sh', '-c', `unshare -UrmC sh -c '${lift}'; echo $?; exec ${process.execPath} -e '${grow}'`], {
        resources: { memoryBytes: 64 << 20 },
        mounts: [{ destination: process.execPath, source: process.execPath, readOnly: true, propagation: 'private' }],
      }),
    )
    const end = await runtime.wait(directoryOf('lift'), AbortSignal.timeout(20_000))
    assert.deepEqual([outputOf('lift'), end.exitCode, end.oomKilled], ['0', 137, true])
  },

  async 'seccomp: RuntimeDefault, profiles of the node, none'() {
    // keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0), which no capability allows
    const keyctl = { x64: 250, arm64: 219 }[process.arch as string] ?? 0
    const script = `grep Seccomp: /proc/self/status; unshare -U true && echo USER; unshare -m true && echo MOUNTS; mount -t tmpfs t /mnt && echo MOUNT
      perl -e 'print syscall(${keyctl}, 0, -3, 0) < 0 ? "keyctl $!\\n" : "KEYCTL\\n"'; perl -e 'syscall(435, 0, 0); print "clone3 $!\\n"'
      perl -MSocket -e 'socket(S, 40, SOCK_STREAM, 0) or print "vsock $!\\n"; socket(S, AF_INET, SOCK_STREAM, 0) and print "inet\\n"'
      mkdir /tmp/made && echo made; chroot / true && echo chrooted; perl -e 'print "forked\\n" if !fork; wait'`
    const more = { capabilities: { add: ['SYS_ADMIN'], drop: [] } }
    await run('seccomp', ['sh', '-c', script], { seccomp: { type: 'RuntimeDefault' } })
    assert.match(outputOf('seccomp'), /Seccomp:\s+2\n/)
    assert.doesNotMatch(outputOf('seccomp'), /USER|MOUNT|KEYCTL/)
    for (const line of [
      'keyctl Operation not permitted',
      'clone3 Function not implemented',
      'vsock Operation not permitted',
      'inet',
      'made',
      'chrooted',
      'forked',
    ])
      assert.match(outputOf('seccomp'), new RegExp(`^${line}$`, 'm'))
    await run('seccomp-admin', ['sh', '-c', script], { seccomp: { type: 'RuntimeDefault' }, ...more })
    assert.match(outputOf('seccomp-admin'), /USER[^]*MOUNTS[^]*MOUNT\n[^]*keyctl Operation not permitted/)
    await run('seccomp-none', ['sh', '-c', script])
    assert.match(outputOf('seccomp-none'), /Seccomp:\s+0\nUSER[^]*KEYCTL\n[^]*made/)
    await run('seccomp-privileged', ['sh', '-c', script], { seccomp: { type: 'RuntimeDefault' }, privileged: true })
    assert.match(outputOf('seccomp-privileged'), /Seccomp:\s+0\n/)

    const profiles = join(node.directory, 'node/seccomp')
    mkdirSync(join(profiles, 'own'), { recursive: true })
    const noMkdir = { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 28 }] }
    writeFileSync(join(profiles, 'own/nomkdir.json'), JSON.stringify(noMkdir))
    writeFileSync(join(profiles, 'broken.json'), '{"syscalls": 1}')
    await run('seccomp-local', ['mkdir', '/x'], { seccomp: { type: 'Localhost', profile: 'own/nomkdir.json' } })
    assert.match(outputOf('seccomp-local'), /No space left on device/)
    for (const [profile, why] of [
      ['none.json', 'no such file or directory'],
      ['broken.json', 'defaultAction: .*; syscalls: .*'],
      ['../layers/x', 'it must be a path .*'],
    ])
      await assert.rejects(run('seccomp-bad', ['true'], { seccomp: { type: 'Localhost', profile: profile! } }), {
        message: new RegExp(`^cannot load seccomp profile "${profile}": ${why}$`),
      })
  },

  async 'signals and exit codes'() {
    await runtime.start(containerSpec('term', ['sh', '-c', 'trap "exit 9" TERM; echo up; while :; do sleep 0.05; done']))
    await eventually(() => assert.equal(outputOf('term'), 'up'))
    assert.equal(await runtime.kill(directoryOf('term'), 'SIGTERM'), true)
    assert.equal((await runtime.wait(directoryOf('term'))).exitCode, 9)
    assert.equal(await runtime.kill(directoryOf('term'), 'SIGTERM'), false)
    await runtime.start(containerSpec('kill', ['sleep', '1000']))
    await runtime.kill(directoryOf('kill'), 'SIGKILL')
    assert.equal((await runtime.wait(directoryOf('kill'))).exitCode, 137)
  },

  async 'exec: input, output, exit code, a missing program, a container that is gone'() {
    await runtime.start(containerSpec('exec', ['sleep', '1000'], { env: ['OF=container'] }))
    assert.deepEqual(
      await exec(runtime, 'exec', ['sh', '-c', 'cat; echo $OF $MORE; echo err >&2; exit 5'], { stdin: bytes('in\n'), env: ['MORE=exec'] }),
      { code: 5, out: 'in\ncontainer exec\n', err: 'err\n' },
    )
    const failed = 'exec failed: unable to start container process: '
    await assert.rejects(exec(runtime, 'exec', ['no-such-program']), {
      message: `${failed}exec: "no-such-program": executable file not found in $PATH`,
    })
    assert.deepEqual(await exec(runtime, 'exec', ['sh', '-c', `echo "${failed}no" >&2; exit 255`]), {
      code: 255,
      out: '',
      err: `${failed}no\n`,
    })
    const big = await exec(runtime, 'exec', ['head', '-c', '3000000', '/dev/zero'])
    assert.equal(big.out.length, 3_000_000)
    await assert.rejects(exec(runtime, 'first', ['true']), /is not running/)
  },

  async 'exec with a terminal: size, resizing, control characters, exit code'() {
    let out = ''
    let resize: (size: { Width: number; Height: number } | undefined) => void = () => {}
    const sizes = async function* () {
      yield { Width: 100, Height: 40 }
      const next = await new Promise<{ Width: number; Height: number } | undefined>(resolve => (resize = resolve))
      if (next) yield next
    }
    const keyboard = new PassThrough()
    const type = (text: string): void => void keyboard.write(text)
    const done = runtime.exec(directoryOf('exec'), {
      args: ['sh'],
      tty: true,
      stdin: keyboard,
      resize: sizes(),
      stdout: d => void (out += Buffer.from(d).toString()),
    })
    await eventually(() => assert.match(out, /[#$] $/))
    type('stty size; tty\n')
    await eventually(() => assert.match(out, /40 100\r\n\/dev\/pts\//))
    resize({ Width: 90, Height: 30 })
    await eventually(async () => {
      type('stty size\n')
      await new Promise(resolve => setTimeout(resolve, 50))
      assert.match(out, /30 90/)
    })
    type('sleep 1000; echo after:$?\n')
    await new Promise(resolve => setTimeout(resolve, 100))
    type('\x03')
    type('echo code:$?\n')
    await eventually(() => assert.match(out, /\^C[\s\S]*code:130/))
    type('exit 7\n')
    assert.equal(await done, 7)
  },

  async 'an exec whose client goes away takes everything with it'() {
    const gone = new AbortController()
    const done = exec(runtime, 'exec', ['sh', '-c', 'setsid sleep 4711 & sh -c "sleep 4712 & wait" & sleep 4713'], { signal: gone.signal })
    const sleeping = async () =>
      (await exec(runtime, 'exec', ['sh', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" " " | grep -c "sleep 471[123]"'])).out.trim()
    await eventually(async () => assert.notEqual(await sleeping(), '0'))
    gone.abort()
    await assert.rejects(done, { name: 'AbortError' })
    await eventually(async () =>
      assert.equal(
        (await exec(runtime, 'exec', ['sh', '-c', 'for p in /proc/[0-9]*; do tr "\\0" " " <$p/cmdline; echo; done'])).out.match(
          /^sleep 471/m,
        ),
        null,
      ),
    )
  },

  async 'an exec whose client goes away while the command is being started leaves nothing'() {
    for (let ms = 0; ms < 200; ms += 5) {
      const gone = new AbortController()
      const done = exec(runtime, 'exec', ['sleep', '4714'], { signal: gone.signal })
      setTimeout(() => gone.abort(), ms)
      await assert.rejects(done, { name: 'AbortError' })
    }
    const running = async () => (await exec(runtime, 'exec', ['sh', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" "\\n"'])).out.split('\n')
    await eventually(async () => assert.equal((await running()).filter(word => word === '4714').length, 0))
  },

  async 'standard input: once and for ever, and a terminal'() {
    await runtime.start(containerSpec('once', ['sh', '-c', 'cat; echo END'], { stdin: true, stdinOnce: true }))
    await runtime.writeStdin(directoryOf('once'), bytes('one\n', `${'x'.repeat(20_000)}\n`))
    assert.equal((await runtime.wait(directoryOf('once'), AbortSignal.timeout(10_000))).exitCode, 0)
    assert.match(outputOf('once'), /^one\nx+[\s\S]*END$/)
    await runtime.start(containerSpec('again', ['cat'], { stdin: true }))
    await runtime.writeStdin(directoryOf('again'), bytes('one\n'))
    await runtime.writeStdin(directoryOf('again'), bytes('two\n'))
    await eventually(() => assert.equal(outputOf('again'), 'one\ntwo'))
    await runtime.start(containerSpec('tty', ['sh', '-c', 'read line; stty size; tty; echo got $line; exit 4'], { stdin: true, tty: true }))
    await runtime.resizeTerminal(directoryOf('tty'), { Width: 77, Height: 33 })
    await runtime.writeStdin(directoryOf('tty'), bytes('typed\n'))
    assert.equal((await runtime.wait(directoryOf('tty'), AbortSignal.timeout(10_000))).exitCode, 4)
    assert.match(outputOf('tty'), /33 77\r?\n\/dev\/pts\/0\r?\ngot typed/)
  },

  async 'a rotated log continues in a new file'() {
    const { logPath } = containerSpec('again', [])
    renameSync(logPath, `${logPath}.1`)
    await runtime.reopenLog(directoryOf('again'))
    await eventually(() => assert.ok(existsSync(logPath)))
    await runtime.writeStdin(directoryOf('again'), bytes('three\n'))
    await eventually(() => assert.equal(outputOf('again'), 'three'))
  },

  async 'resources are changed while it runs, and told as they are'() {
    const given = { memoryBytes: 64 << 20, cpuShares: 512, cpuQuotaMicros: 20_000, pids: 50 }
    await runtime.start(containerSpec('resize', ['sleep', '1000'], { resources: given }))
    const seen = async () => (await runtime.status(directoryOf('resize')))?.resources
    assert.deepEqual(await seen(), given)
    await runtime.update!(directoryOf('resize'), { memoryBytes: 128 << 20, cpuQuotaMicros: -1 })
    assert.deepEqual(await seen(), { ...given, memoryBytes: 128 << 20, cpuQuotaMicros: -1 })
    await runtime.update!(directoryOf('resize'), { cpuQuotaMicros: 10_000, memoryBytes: 48 << 20 })
    const now = { ...given, memoryBytes: 48 << 20, cpuQuotaMicros: 10_000 }
    assert.deepEqual(await seen(), now)
    // Programs read their limit in their own group.
    const [controller, file] = isCgroup2() ? ['', 'memory.max'] : ['memory', 'memory.limit_in_bytes']
    const path = join(cgroupDirectory(controller!, '/').replace(/[/]$/, ''), file!)
    assert.equal((await exec(runtime, 'resize', ['cat', path])).out.trim(), String(48 << 20))
    // Version 1 gives no less memory than is in use: then nothing is changed.
    if (!isCgroup2()) {
      await assert.rejects(runtime.update!(directoryOf('resize'), { memoryBytes: 4096, pids: 7 }), /EBUSY/)
      assert.deepEqual(await seen(), now)
    }
    await runtime.remove(directoryOf('resize'))
  },

  async stats() {
    const stats = await runtime.stats(directoryOf('exec'))
    assert.ok(stats!.memoryBytes > 0 && stats!.cpuNanos > 0, JSON.stringify(stats))
  },

  async 'a container outlives the process that started it, which another adopts'() {
    const pid = startAndDie('orphan')
    const again = await openRuntime()
    const status = await again.adopt(directoryOf('orphan'))
    assert.deepEqual([status?.state, status?.pid], ['running', pid])
    const wait = again.wait(directoryOf('orphan'))
    writeFileSync(join(node.directory, 'orphan-volume', 'go'), '')
    assert.equal((await wait).exitCode, 6)
    assert.equal(outputOf('orphan'), 'before\nafter')
  },

  async 'a container that only waits to be let go is let go, once, by those who adopt it'() {
    startAndDie('waiting', 'waiting')
    const waiting = await runtime.status(directoryOf('waiting'))
    assert.deepEqual([waiting?.state, waiting?.exitCode], ['created', undefined])
    const adopted = await Promise.all([runtime.adopt(directoryOf('waiting')), runtime.adopt(directoryOf('waiting'))])
    assert.deepEqual(
      adopted.map(s => [s?.state, s?.pid]),
      [
        ['running', waiting?.pid],
        ['running', waiting?.pid],
      ],
    )
    writeFileSync(join(node.directory, 'waiting-volume', 'go'), '')
    assert.equal((await runtime.wait(directoryOf('waiting'))).exitCode, 6)
    assert.equal(outputOf('waiting'), 'before\nafter')
  },

  async 'a container that never ran has no result, wherever its removal was cut short'() {
    startAndDie('unborn', 'waiting')
    startAndDie('unborn', 'removing')
    const status = await runtime.status(directoryOf('unborn'))
    assert.deepEqual([status?.state, status?.exitCode], ['created', undefined])
    await runtime.remove(directoryOf('unborn'))
    assert.equal(await run('unborn', ['sh', '-c', 'exit 4']), 4)
  },

  async 'what is still being made when its maker dies is not in the way of the next'() {
    startAndDie('unmade', 'creating')
    assert.equal((await runtime.adopt(directoryOf('unmade')))?.state, 'created')
    await runtime.remove(directoryOf('unmade'))
    // What was killed is in /proc until its parent has been told.
    await eventually(() =>
      assert.deepEqual(
        readdirSync('/proc')
          .map(commandOf)
          .filter(command => command.includes('unmade')),
        [],
      ),
    )
    assert.equal(await run('unmade', ['sh', '-c', 'echo once; exit 4']), 4)
    assert.equal(outputOf('unmade'), 'once')
  },

  async 'a container whose shim is killed ends as killed'() {
    await runtime.start(containerSpec('shimless', ['sleep', '1000']))
    process.kill(Number(readFileSync(join(directoryOf('shimless'), 'run/conmon.pid'), 'utf8')), 'SIGKILL')
    assert.equal((await runtime.wait(directoryOf('shimless'), AbortSignal.timeout(15_000))).exitCode, 137)
  },

  async 'removal is complete and may be repeated'() {
    await Promise.all(readdirSync(join(node.directory, 'node/pods/uid')).map(id => runtime.remove(directoryOf(id))))
    await runtime.remove(directoryOf('exec'))
    assert.deepEqual(readdirSync(join(node.directory, 'node/pods/uid')), [])
    assert.deepEqual(
      (await listMounts())
        .filter(m => m.target.startsWith(node.directory))
        .map(m => m.target)
        .sort(),
      ['node/run'].map(name => join(node.directory, name)),
    )
    const groups = (directory: string): string[] =>
      existsSync(directory)
        ? readdirSync(directory, { withFileTypes: true })
            .filter(e => e.isDirectory())
            .map(e => e.name)
        : []
    // The pod's own group is not the runtime's to remove.
    for (const tree of await cgroupTrees()) assert.deepEqual(groups(join(tree, node.cgroup, 'burstable/pod1')), [])
    await eventually(() =>
      assert.deepEqual(
        readdirSync('/proc').filter(p => /^\d+$/.test(p) && commandOf(p).startsWith('/usr/bin/conmon')),
        [],
      ),
    )
  },
}

/** The pid that it printed, if it came so far. */
function startAndDie(...args: string[]): number {
  const { signal, stdout, stderr } = spawnSync(process.execPath, [fileURLToPath(new URL('./start-and-die.ts', import.meta.url)), ...args], {
    env: process.env,
    timeout: 20_000,
  })
  assert.equal(signal, 'SIGKILL', String(stderr))
  return Number(stdout.toString().trim())
}

const commandOf = (pid: string): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}
