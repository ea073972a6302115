/** The floor of starting a container: runc alone, a container of the machine's own programs in namespaces of its own, that runs `true`. */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { execa } from 'execa'

export interface Runc {
  /** Runs one container to its end; resolves with the milliseconds it took. */
  run(): Promise<number>
  /** Runs `true` in a container that runs already. */
  exec(): Promise<number>
  close(): Promise<void>
}

export async function openRunc(): Promise<Runc> {
  const bundle = await mkdtemp(path.join(tmpdir(), 'cox-bench-runc-'))
  await mkdir(path.join(bundle, 'rootfs'))
  const programs = ['/usr', '/bin', '/lib', '/lib64'].filter(d => existsSync(d))
  const config = {
    ociVersion: '1.0.2',
    process: {
      user: { uid: 0, gid: 0 },
      args: ['/bin/true'],
      env: ['PATH=/usr/bin:/bin'],
      cwd: '/',
      capabilities: {},
      noNewPrivileges: true,
    },
    root: { path: 'rootfs' },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=65536k'] },
      ...programs.map(d => ({ destination: d, type: 'bind', source: d, options: ['rbind', 'ro'] })),
    ],
    // Without a cgroup named, each container gets one of its own.
    linux: { namespaces: ['pid', 'mount', 'uts', 'ipc', 'network'].map(type => ({ type })) },
  }
  await writeFile(path.join(bundle, 'config.json'), JSON.stringify(config))
  let count = 0
  let inside: Promise<string> | undefined
  const runc = (...args: string[]) =>
    execa('runc', ['--root', path.join(bundle, 'state'), ...args], { stdin: 'ignore', timeout: 30_000, stdout: 'ignore', stderr: 'ignore' })
  async function running(): Promise<string> {
    const sleeper = path.join(bundle, 'sleeper')
    await mkdir(path.join(sleeper, 'rootfs'), { recursive: true })
    await writeFile(
      path.join(sleeper, 'config.json'),
      JSON.stringify({ ...config, process: { ...config.process, args: ['/bin/sleep', '10000'] } }),
    )
    const id = `${path.basename(bundle)}-sleeper`
    await runc('run', '--detach', '--bundle', sleeper, id)
    return id
  }
  return {
    async exec() {
      const id = await (inside ??= running())
      const began = performance.now()
      await runc('exec', id, '/bin/true')
      return performance.now() - began
    },
    async run() {
      const began = performance.now()
      await execa('runc', ['--root', path.join(bundle, 'state'), 'run', '--bundle', bundle, `${path.basename(bundle)}-${++count}`], {
        stdin: 'ignore',
        timeout: 30_000,
      })
      return performance.now() - began
    },
    async close() {
      if (inside) await runc('delete', '--force', await inside)
      await rm(bundle, { recursive: true, force: true })
    },
  }
}
