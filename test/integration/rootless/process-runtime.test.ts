/** The `process` runtime, as an ordinary user. What the kubelet makes of it is tested in ../kubelet. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { processesMarked } from '#shared/component/processes.ts'
import { createProcessRuntime } from '#node-agent/runtime/process.ts'
import type { ContainerSpec, ExecOptions } from '#node-agent/runtime/runtime.ts'
import { bytes, containerSpec as plainSpec, textOf } from '../runtime/containers.ts'

const directory = mkdtempSync(join(tmpdir(), 'cox-process-'))
const rootDir = join(directory, 'node')
const runtime = await createProcessRuntime({ rootDir })
afterAll(() => {
  // A shim may wait for the next container: it ends with us.
  expect(processesMarked(`COXSWAIN_NODE=${rootDir}`).length).toBeLessThan(2)
  rmSync(directory, { recursive: true, force: true })
})

const directoryOf = (id: string): string => join(rootDir, id)
const logPathOf = (id: string): string => join(directory, `${id}.log`)
const logOf = (id: string): string => readFileSync(logPathOf(id), 'utf8')
const outputOf = (id: string): string => textOf(logOf(id))
const spec = (id: string, args: string[], more: Partial<ContainerSpec> = {}): ContainerSpec =>
  plainSpec(id, args, { directory: directoryOf(id), logPath: logPathOf(id), ...more })
const start = (...args: Parameters<typeof spec>) => runtime.start(spec(...args))
const exited = (id: string) => runtime.wait(directoryOf(id), AbortSignal.timeout(20_000))
const run = async (...args: Parameters<typeof spec>) => {
  await start(...args)
  const status = await exited(args[0])
  await runtime.remove(directoryOf(args[0]))
  return status
}
async function exec(id: string, args: string[], more: Partial<ExecOptions> = {}): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ['', '']
  const code = await runtime.exec(directoryOf(id), {
    args,
    tty: false,
    stdout: d => void (out += Buffer.from(d).toString()),
    stderr: d => void (err += Buffer.from(d).toString()),
    ...more,
  })
  return { code, out, err }
}
/** The pid that it printed, if it came so far. */
function startAndDie(id: string, args: string[], point = 'started'): number {
  const starter = fileURLToPath(new URL('./start-and-die.ts', import.meta.url))
  const { signal, stdout, stderr } = spawnSync(process.execPath, [starter, JSON.stringify(spec(id, args)), rootDir, point], {
    timeout: 20_000,
  })
  expect([signal, stderr.toString()]).toEqual(['SIGKILL', ''])
  return Number(stdout.toString())
}
const marked = (id: string): number[] => processesMarked(`COXSWAIN_CONTAINER=${id}`)

test('runs as an ordinary user', () => expect(process.getuid!()).not.toBe(0))

describe('a container', () => {
  test('logs in CRI format and tells its exit code', async () => {
    const status = await run('first', ['sh', '-c', 'echo out; echo err >&2; printf part; exit 3'])
    expect(status).toMatchObject({ state: 'exited', exitCode: 3 })
    expect(status.finishedAt!.getTime()).toBeGreaterThanOrEqual(status.startedAt!.getTime())
    expect(logOf('first')).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z stdout F out$/m)
    expect(logOf('first')).toMatch(/ stderr F err$/m)
    expect(logOf('first')).toMatch(/ stdout P part$/m)
  })
  test('can open its streams by their names, and so can what is run beside it', async () => {
    const script = 'echo named >/dev/stdout; echo wrong >/dev/stderr; head -n 1 /dev/stdin'
    await start('named', ['sh', '-c', `${script}; sleep 1000`], { stdin: true, stdinOnce: true })
    await runtime.writeStdin(directoryOf('named'), bytes('said\n'))
    await expect.poll(() => outputOf('named').split('\n').sort()).toEqual(['named', 'said', 'wrong'])
    expect(await exec('named', ['sh', '-c', `${script}; exit 4`], { stdin: bytes('read\n') })).toEqual({
      code: 4,
      out: 'named\nread\n',
      err: 'wrong\n',
    })
    await runtime.remove(directoryOf('named'))
  })
  test('runs on when its log cannot be written', async () => {
    expect(
      await run('unheard', ['sh', '-c', 'for n in 1 2 3; do echo $n; sleep 0.05; done; exit 5'], { logPath: '/dev/full' }),
    ).toMatchObject({ exitCode: 5 })
  })
  test('starts in a root of its own, with the environment it is given and no other', async () => {
    process.env['OF_THE_NODE'] = 'x'
    const more = { env: ['A=b c', 'not.a.shell-name=kept'], workingDir: '/not/there', hostname: 'my-pod' }
    await run('place', ['pwd'], more)
    await run('env', ['env'], more)
    const [place, env] = ['place', 'env'].map(id => join(directoryOf(id), 'root'))
    expect(outputOf('place')).toBe(`${place}/not/there`)
    await run('above', ['pwd'], { workingDir: '../../../../above' })
    expect(outputOf('above')).toBe(`${join(directoryOf('above'), 'root')}/above`)
    expect(outputOf('env').split('\n').sort()).toEqual([
      'A=b c',
      'COXSWAIN_CONTAINER=env',
      `COXSWAIN_NODE=${rootDir}`,
      `COXSWAIN_ROOT=${env}`,
      `HOME=${env}`,
      'HOSTNAME=my-pod',
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      `TMPDIR=${env}/tmp`,
      'not.a.shell-name=kept',
    ])
  })
  test('finds its volumes below its root and by variables', async () => {
    const volume = join(directory, 'volume')
    mkdirSync(join(volume, 'sub'), { recursive: true })
    writeFileSync(join(volume, 'f'), 'from the volume\n')
    const mount = (destination: string, source: string) => ({ destination, source, readOnly: false, propagation: 'private' as const })
    const mounts = [mount('/var/data', volume), mount('/one', join(volume, 'f')), mount('/var/data/inner', join(volume, 'sub'))]
    await run(
      'mounts',
      ['sh', '-c', 'cat var/data/f one $COXSWAIN_MOUNT_VAR_DATA/f; echo w > var/data/w; echo $COXSWAIN_MOUNT_VAR_DATA_INNER'],
      { mounts },
    )
    expect(outputOf('mounts')).toBe(`${'from the volume\n'.repeat(3)}${volume}/sub`)
    expect(readFileSync(join(volume, 'w'), 'utf8')).toBe('w\n')
    await expect(start('nomount', ['true'], { mounts: [mount('/x', '/no/such/source')] })).rejects.toThrow('/no/such/source')
  })
  test('that cannot start says why and leaves nothing', async () => {
    await expect(start('missing', ['no-such-program'])).rejects.toThrow('exec: "no-such-program": executable file not found in $PATH')
    await expect(start('nofile', ['/no/such/file'])).rejects.toThrow('exec: "/no/such/file": stat /no/such/file: no such file or directory')
    await expect(start('noexec', ['/etc/passwd'])).rejects.toThrow('exec: "/etc/passwd": permission denied')
    expect(existsSync(directoryOf('missing'))).toBe(false)
    expect(await runtime.status(directoryOf('missing'))).toBeUndefined()
  })
  test('gets signals, none of them ignored', async () => {
    await start('term', ['sh', '-c', 'trap "exit 9" TERM; echo up; while :; do sleep 0.05; done'])
    await expect.poll(() => outputOf('term')).toBe('up')
    expect(await runtime.kill(directoryOf('term'), 'SIGTERM')).toBe(true)
    expect((await exited('term')).exitCode).toBe(9)
    expect(await runtime.kill(directoryOf('term'), 'SIGTERM')).toBe(false)
    await runtime.remove(directoryOf('term'))
    for (const [signal, number] of [
      ['SIGINT', 2],
      ['SIGQUIT', 3],
      ['SIGKILL', 9],
    ] as const) {
      await start(signal, ['sleep', '1000'])
      await runtime.kill(directoryOf(signal), signal)
      expect(await exited(signal)).toMatchObject({ exitCode: 128 + number, signal: number })
      await runtime.remove(directoryOf(signal))
    }
  })
  test('takes everything it started along, in whatever session', async () => {
    await start('family', ['sh', '-c', 'setsid sleep 4711 & sleep 4712 & echo up; sleep 1000'])
    await expect.poll(() => marked('family').length).toBe(4)
    await runtime.kill(directoryOf('family'), 'SIGKILL')
    expect((await exited('family')).exitCode).toBe(137)
    expect(marked('family')).toEqual([])
    await runtime.remove(directoryOf('family'))
    // Its own end leaves nothing either, once it is cleared away.
    await run('leaver', ['sh', '-c', 'setsid sleep 4711 & sleep 4712 & exit 0'])
    expect(marked('leaver')).toEqual([])
  })
  test('is started by a shim that waits for it, if one does, and by another if that was killed', async () => {
    await run('before', ['true'])
    const shims = (): number[] => processesMarked(`COXSWAIN_NODE=${realpathSync(rootDir)}`)
    await expect.poll(() => shims().length).toBe(1)
    const [waiting] = shims()
    await run('waited-for', ['true'])
    await expect.poll(() => existsSync(`/proc/${waiting}`)).toBe(false)
    await expect.poll(() => shims().length).toBe(1)
    process.kill(shims()[0]!, 'SIGKILL')
    await expect.poll(() => shims()).toEqual([])
    expect((await run('anew', ['sh', '-c', 'exit 4'])).exitCode).toBe(4)
  })
  test('whose shim is killed ends as if killed', async () => {
    await start('shimless', ['sleep', '1000'])
    const { pid } = JSON.parse(readFileSync(join(directoryOf('shimless'), 'shim'), 'utf8')) as { pid: number }
    const wait = exited('shimless')
    process.kill(pid, 'SIGKILL')
    expect((await wait).exitCode).toBe(137)
    expect(marked('shimless')).toEqual([])
    await runtime.remove(directoryOf('shimless'))
  })
  test('outlives the process that started it, which another adopts', async () => {
    const pid = startAndDie('orphan', ['sh', '-c', 'echo before; while ! test -e go; do sleep 0.02; done; echo after; exit 6'])
    const again = await createProcessRuntime({ rootDir })
    expect(await again.adopt(directoryOf('orphan'))).toMatchObject({ state: 'running', pid })
    const wait = again.wait(directoryOf('orphan'), AbortSignal.timeout(20_000))
    writeFileSync(join(directoryOf('orphan'), 'root/go'), '')
    expect((await wait).exitCode).toBe(6)
    expect(outputOf('orphan')).toBe('before\nafter')
    await again.remove(directoryOf('orphan'))
  })
  test('is not started twice, nor against the will of the next, when who started it dies at once', async () => {
    const script = ['sh', '-c', 'echo once; exit 6']
    startAndDie('adopted', script, 'starting')
    expect((await runtime.adopt(directoryOf('adopted')))?.state).not.toBe('created')
    expect((await exited('adopted')).exitCode).toBe(6)
    await runtime.remove(directoryOf('adopted'))
    expect(outputOf('adopted')).toBe('once')
    startAndDie('replaced', script, 'starting')
    await runtime.remove(directoryOf('replaced'))
    expect((await run('replaced', script)).exitCode).toBe(6)
    expect(outputOf('replaced')).toMatch(/^(once\n)?once$/)
    // Its shim was told of nothing.
    startAndDie('unheard', script, 'spawning')
    expect((await runtime.adopt(directoryOf('unheard')))?.state).toBe('created')
    expect(marked('unheard')).toEqual([])
    await runtime.remove(directoryOf('unheard'))
    expect((await run('unheard', script)).exitCode).toBe(6)
    expect(outputOf('unheard')).toBe('once')
  })
  test('gets input once or for ever; its log is set aside', async () => {
    await start('once', ['sh', '-c', 'cat; echo END'], { stdin: true, stdinOnce: true })
    await runtime.writeStdin(directoryOf('once'), bytes('one\n', `${'x'.repeat(200_000)}\n`))
    expect((await exited('once')).exitCode).toBe(0)
    expect(outputOf('once')).toMatch(/^one\nx{200000}\nEND$/)
    await runtime.remove(directoryOf('once'))
    await start('again', ['cat'], { stdin: true })
    await runtime.writeStdin(directoryOf('again'), bytes('one\n'))
    await runtime.writeStdin(directoryOf('again'), bytes('two\n'))
    await expect.poll(() => outputOf('again')).toBe('one\ntwo')
    renameSync(logPathOf('again'), `${logPathOf('again')}.1`)
    await runtime.reopenLog(directoryOf('again'))
    await expect.poll(() => existsSync(logPathOf('again'))).toBe(true)
    await runtime.writeStdin(directoryOf('again'), bytes('three\n'))
    await expect.poll(() => outputOf('again')).toBe('three')
    await runtime.remove(directoryOf('again'))
  })
  test('has a terminal when it asks for one', async () => {
    await start('tty', ['sh', '-c', 'read line; tty; echo got $line; exit 4'], { stdin: true, tty: true })
    await runtime.writeStdin(directoryOf('tty'), bytes('typed\n'))
    expect((await exited('tty')).exitCode).toBe(4)
    expect(outputOf('tty')).toMatch(/\/dev\/pts\/\d+\r?\ngot typed/)
    await runtime.remove(directoryOf('tty'))
  })
})

describe('exec', () => {
  test('input, output, exit code, place; a missing program, a container that is gone', async () => {
    await start('exec', ['sleep', '1000'], { env: ['OF=container'] })
    expect(
      await exec('exec', ['sh', '-c', 'cat; echo $OF $MORE; echo err >&2; exit 5'], { stdin: bytes('in\n'), env: ['MORE=exec'] }),
    ).toEqual({ code: 5, out: 'in\ncontainer exec\n', err: 'err\n' })
    expect((await exec('exec', ['pwd'])).out).toBe(`${directoryOf('exec')}/root\n`)
    await expect(exec('exec', ['no-such-program'])).rejects.toThrow(
      'exec failed: unable to start container process: exec: "no-such-program": executable file not found in $PATH',
    )
    await expect(exec('nobody', ['true'])).rejects.toThrow('not found')
  })
  test('a terminal', async () => {
    let out = ''
    const keyboard = new PassThrough()
    const sizes = async function* () {
      yield { Width: 100, Height: 40 }
    }
    const done = runtime.exec(directoryOf('exec'), {
      args: ['sh'],
      tty: true,
      stdin: keyboard,
      resize: sizes(),
      stdout: d => void (out += Buffer.from(d).toString()),
    })
    await expect.poll(() => out).toMatch(/[#$] $/)
    keyboard.write('stty size; echo $OF; exit 7\n')
    expect(await done).toBe(7)
    expect(out).toMatch(/40 100\r\ncontainer/)
  })
  test('a client that goes away takes everything with it', async () => {
    const gone = new AbortController()
    const done = exec('exec', ['sh', '-c', 'setsid sleep 4711 & sleep 4712'], { signal: gone.signal })
    await expect.poll(() => marked('exec').length).toBe(4)
    gone.abort()
    await expect(done).rejects.toThrow('abort')
    await expect.poll(() => marked('exec').length).toBe(1)
  })
  test('stats are those of all of its processes', async () => {
    expect((await runtime.stats(directoryOf('exec')))!.memoryBytes).toBeGreaterThan(0)
    await runtime.remove(directoryOf('exec'))
    expect(await runtime.stats(directoryOf('exec'))).toBeUndefined()
  })
})

describe('images', () => {
  test('bring their programs, and are refused when they need files elsewhere', async () => {
    const pull = (image: string) => runtime.images.pull(image, { signal: AbortSignal.timeout(10_000) })
    const busybox = await pull('busybox:1.36')
    await run('applets', ['readlink', '/proc/self/exe'], { image: busybox, env: busybox.env })
    expect(outputOf('applets')).toMatch(/busybox$/)
    const echo = await pull('registry.k8s.io/echoserver:1.10')
    await start('echo', echo.entrypoint, { image: echo, env: [...echo.env, 'PORT=0'] })
    await expect.poll(() => outputOf('echo')).toContain('listening on port')
    await runtime.remove(directoryOf('echo'))
    await expect(pull('nginx')).rejects.toThrow('it needs its own /etc/nginx/nginx.conf, which the runtime "process" cannot give it')
    expect(busybox.user).toBe(String(process.getuid!()))
  })
})
