/** What pods say of their security and of their runtime, by a kubelet on the runtimes `oci` and `process` side by side. */
import { existsSync, readlinkSync } from 'node:fs'
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Channel } from '#shared/bus/session.ts'
import { pods, runtimeClasses } from '#shared/api/kinds.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { PodSpec } from '#shared/api/core/podspec/podspec.ts'
import { listMounts } from '#shared/linux/mount.ts'
import { exec } from '#node-agent/kubelet/sessions/exec.ts'
import { harness, type Harness } from './harness.ts'
import { testSession } from './session.ts'

let h: Harness
let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kubelet-security-'))
  // Any program with runc's command line will do. This one notes how it is called.
  const calls = join(directory, 'calls')
  const other = join(directory, 'other')
  await writeFile(other, `#!/bin/sh\necho "$@" >>${calls}\nexec runc "$@"\n`, { mode: 0o755 })
  // Pods that have no network of the node's are told of one; it is the node's nevertheless.
  const network = { name: 'none', setUp: async () => ({ ip: '127.0.0.1', namespacePath: 'node' }), tearDown: async () => {}, retain: async () => {} } // prettier-ignore
  h = await harness([], { runtimes: { other }, network })
})
afterAll(async () => {
  await h.close()
  await rm(directory, { recursive: true })
})

const idle = 'trap "exit 0" TERM; while :; do sleep 0.05; done'
const container = (script: string, more = {}) => ({ name: 'c', image: 'busybox', command: ['sh', '-c', script], ...more })
const isReady = (p: Pod) => p.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True')
const waiting = (p: Pod) => p.status?.containerStatuses?.[0]?.state?.waiting
const eventsOf = (name: string, reason: string) => h.events(name).filter(e => e.reason === reason)
const started = (name: string, spec: Partial<PodSpec> = {}, more = {}) => {
  h.pod(name, { ...spec, containers: [container(idle, more)] })
  return h.until(name, isReady)
}
async function run(name: string, script: string): Promise<string> {
  const session = testSession({ namespace: 'default', name, command: ['sh', '-c', script] })
  await exec(h.kubelet(), h.options(), session)
  return session.received(Channel.stdout)
}

describe('what a node refuses', () => {
  const refused = async (name: string, securityContext: object): Promise<unknown[]> => {
    h.pod(name, { securityContext, containers: [container(idle)] })
    const { status } = await h.until(name, p => p.status?.phase === 'Failed')
    return [status?.reason, status?.message, eventsOf(name, status?.reason ?? '')[0]?.message]
  }
  test('sysctls that are not safe', async () => {
    const why = 'forbidden sysctl: "kernel.msgmax" not allowlisted'
    expect(await refused('sysctl', { sysctls: [{ name: 'kernel.msgmax', value: '1' }] })).toEqual([
      'SysctlForbidden',
      `Pod was rejected: ${why}`,
      why,
    ])
  })
  test('AppArmor profiles, where the kernel has none', async () => {
    const why = 'Cannot enforce AppArmor: AppArmor is not enabled on the host'
    expect(await refused('apparmor', { appArmorProfile: { type: 'RuntimeDefault' } })).toEqual([
      'AppArmor',
      `Pod was rejected: ${why}`,
      why,
    ])
  })
  test('an image that runs as root, when that must not be', async () => {
    const { uid } = h.pod('root', { securityContext: { runAsNonRoot: true }, containers: [container(idle)] }).metadata
    const pod = await h.until('root', p => waiting(p)?.reason === 'CreateContainerConfigError')
    expect(waiting(pod)?.message).toBe(`container has runAsNonRoot and image will run as root (pod: "root_default(${uid})", container: c)`)
  })
})

test('users, groups and their policy', async () => {
  await started('users', { securityContext: { runAsUser: 1001, runAsGroup: 2002, fsGroup: 3003, supplementalGroups: [4004] } })
  expect(await run('users', 'id -u; id -G; grep Groups /proc/self/status')).toMatch(/^1001\n2002 3003 4004\nGroups:\s+2002 3003 4004 \n$/)
  expect(h.get('users')?.status?.containerStatuses?.[0]?.user).toEqual({
    linux: { uid: 1001, gid: 2002, supplementalGroups: [2002, 3003, 4004] },
  })
})

test('seccomp: what a container names, else what the node gives', async () => {
  const mode = async (name: string) => (await run(name, 'grep Seccomp: /proc/self/status')).trim().split(/\s+/)[1]
  await started('seccomp-own', { securityContext: { seccompProfile: { type: 'RuntimeDefault' } } })
  await started('seccomp-wins', { securityContext: { seccompProfile: { type: 'RuntimeDefault' } } }, { securityContext: { seccompProfile: { type: 'Unconfined' } } }) // prettier-ignore
  await started('seccomp-none')
  await started('seccomp-privileged', { securityContext: { seccompProfile: { type: 'RuntimeDefault' } } }, { securityContext: { privileged: true } }) // prettier-ignore
  expect(await Promise.all(['own', 'wins', 'none', 'privileged'].map(n => mode(`seccomp-${n}`)))).toEqual(['2', '0', '2', '0'])
})

test('a read-only root takes the names of the host and the resolver along, as containerd has it', async () => {
  const script = 'for f in hosts resolv.conf hostname; do echo >>/etc/$f && echo $f; done 2>/dev/null; true'
  await started('read-only', {}, { securityContext: { readOnlyRootFilesystem: true } })
  await started('writable')
  expect(await run('read-only', script)).toBe('hosts\n')
  expect(await run('writable', script)).toBe('hosts\nresolv.conf\nhostname\n')
})

describe('namespaces', () => {
  const two = [{ ...container(idle), name: 'a' }, { ...container(idle), name: 'b' }] // prettier-ignore
  const runIn = async (name: string, containerName: string, script: string): Promise<string> => {
    const session = testSession({ namespace: 'default', name, container: containerName, command: ['sh', '-c', script] })
    await exec(h.kubelet(), h.options(), session)
    return session.received(Channel.stdout)
  }
  test('containers of a pod share messages and memory, also after a restart; pods do not', async () => {
    h.pod('shared', { containers: two })
    h.pod('apart', { containers: two, securityContext: { sysctls: [{ name: 'kernel.shm_rmid_forced', value: '1' }] } })
    const { uid } = (await Promise.all(['shared', 'apart'].map(name => h.until(name, isReady))))[0]!.metadata
    await runIn('shared', 'a', 'ipcmk -Q; echo there >/dev/shm/file')
    const seen = 'ipcs -q | grep -c ^0x; cat /dev/shm/file'
    expect(await runIn('shared', 'b', seen)).toBe('1\nthere\n')
    expect(await runIn('apart', 'b', seen)).toBe('0\n')
    expect(await runIn('apart', 'a', 'cat /proc/sys/kernel/shm_rmid_forced')).toBe('1\n')
    await runIn('shared', 'a', 'kill -TERM 1')
    await h.until('shared', p => isReady(p) && p.status?.containerStatuses?.some(c => c.name === 'a' && c.restartCount === 1))
    expect(await runIn('shared', 'a', seen)).toBe('1\nthere\n')
    await h.restart()
    expect(await runIn('shared', 'b', seen)).toBe('1\nthere\n')
    h.delete('shared', 1)
    await h.api.until(() => !h.get('shared'))
    expect((await listMounts()).filter(m => m.target.includes(uid!))).toEqual([])
  })
  test('containers of a pod share the name of the host', async () => {
    const privileged = { ...two[0]!, securityContext: { privileged: true } }
    // With its domain it has more letters than the kernel takes for one.
    h.pod('named', { hostNetwork: false, hostname: 'pear', subdomain: 'fruits-'.repeat(8) + 'fruits', containers: [privileged, two[1]!] })
    await h.until('named', isReady)
    expect(await runIn('named', 'b', 'hostname; cat /proc/sys/kernel/hostname')).toBe('pear\npear\n')
    await runIn('named', 'a', 'hostname plum')
    expect(await runIn('named', 'b', 'hostname')).toBe('plum\n')
    expect(await runIn('named', 'b', 'hostname x 2>&1 || true')).toMatch(/not permitted|must be root/i)
  })
  test('an ephemeral container shares both with the only container of its pod', async () => {
    const pod = await started('only')
    const look = '{ readlink /proc/self/ns/ipc; readlink /proc/self/ns/uts; }'
    const debugger_ = { ...container(`${look} >/dev/termination-log`), name: 'debugger', terminationMessagePath: '/dev/termination-log' }
    h.api.put(pods, { ...pod, spec: { ...pod.spec, ephemeralContainers: [debugger_] } } as never)
    const after = await h.until('only', p => p.status?.ephemeralContainerStatuses?.[0]?.state?.terminated !== undefined)
    const seen = await run('only', look)
    expect(after.status?.ephemeralContainerStatuses?.[0]?.state?.terminated?.message).toBe(seen)
    expect(seen).not.toContain(readlinkSync('/proc/self/ns/ipc'))
    // Pods here have the node's network, and so its name.
    expect(seen).toContain(readlinkSync('/proc/self/ns/uts'))
    h.delete('only', 1)
    await h.api.until(() => !h.get('only'))
  })
  test("hostPID and hostIPC are the node's", async () => {
    await started('host', { hostPID: true, hostIPC: true })
    expect(await run('host', `readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc; test -d /proc/${process.pid} && echo node`)).toBe(
      `${readlinkSync('/proc/self/ns/pid')}\n${readlinkSync('/proc/self/ns/ipc')}\nnode\n`,
    )
    const name = `coxswain-test-${process.pid}`
    await run('host', `echo x >/dev/shm/${name}`)
    expect(existsSync(`/dev/shm/${name}`)).toBe(true)
    await rm(`/dev/shm/${name}`)
  })
})

describe('RuntimeClass', () => {
  const runtimeClass = (name: string, handler: string) =>
    h.api.put(runtimeClasses, { apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: { name }, handler } as never)
  test('a class that there is not, and a handler that the node has not', async () => {
    runtimeClass('odd', 'no-such-handler')
    const told = async (runtimeClassName: string) => {
      h.pod(runtimeClassName, { runtimeClassName, containers: [container(idle)] })
      return await h.api.until(() => eventsOf(runtimeClassName, 'FailedCreatePodSandBox')[0]?.message)
    }
    expect(await told('missing')).toBe('Failed to create pod sandbox: runtimeclass.node.k8s.io "missing" not found')
    expect(await told('odd')).toBe(
      'Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for "no-such-handler" is configured',
    )
    expect(waiting(h.get('odd')!)).toEqual({ reason: 'ContainerCreating' })
  })
  test('a runtime that has gone: no container fails for that, and all is well when it is back', async () => {
    runtimeClass('gone', 'other')
    const [program, away] = [join(directory, 'other'), join(directory, 'away')]
    await rename(program, away)
    h.pod('gone', { runtimeClassName: 'gone', restartPolicy: 'Never', containers: [container(idle)] })
    const { status } = await h.until('gone', p => waiting(p)?.reason === 'CreateContainerError')
    expect(status?.containerStatuses?.[0]?.state?.waiting?.message).toContain('ENOENT')
    expect(status?.containerStatuses?.[0]?.restartCount).toBe(0)
    await rename(away, program)
    await h.until('gone', isReady, 30_000)
    h.delete('gone', 0)
    await h.api.until(() => !h.get('gone'))
  })
  test.each(['other', 'runc', 'oci'])('handler %s', async handler => {
    runtimeClass(handler, handler)
    await started(handler, { runtimeClassName: handler, shareProcessNamespace: true })
    expect(await run(handler, 'echo $$ > /tmp/x; cat /proc/sys/kernel/hostname')).not.toBe('')
    const { uid } = h.get(handler)!.metadata
    await h.restart()
    expect(h.get(handler)?.metadata.uid).toBe(uid)
    expect(await run(handler, 'test -s /tmp/x && echo same')).toBe('same\n')
    h.delete(handler, 5)
    await h.api.until(() => !h.get(handler))
    const calls = await readFile(join(directory, 'calls'), 'utf8')
    if (handler === 'other') for (const verb of ['create', 'start', 'exec', 'kill']) expect(calls).toMatch(new RegExp(` ${verb} `))
  })
  test('plain processes, beside containers', async () => {
    runtimeClass('process', 'process')
    await started('process', { runtimeClassName: 'process' }, { securityContext: { readOnlyRootFilesystem: true } })
    expect(eventsOf('process', 'FieldsNotHonored')[0]?.message).toBe('This node cannot honor: readOnlyRootFilesystem of container c')
    // It sees the node as it is.
    expect(await run('process', `test -d ${h.rootDir} && echo node`)).toBe('node\n')
    h.delete('process', 1)
    await h.api.until(() => !h.get('process'))
  })
})

test('every pod that is deleted leaves the node', async () => {
  for (const pod of h.api.all(pods)) h.delete(pod.metadata.name!, 1)
  await h.api.until(() => h.api.all(pods).length === 0, 20_000)
  expect((await listMounts()).filter(m => m.target.startsWith(join(h.rootDir, 'pods')))).toEqual([])
})
