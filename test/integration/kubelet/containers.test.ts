/**
 * What containers see and what is done to them: environment, volumes, probes, hooks, sessions; on a real runtime. Scripts start in the
 * container's root.
 */
import { readFile, stat, writeFile, readdir } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Channel } from '#shared/bus/session.ts'
import { clusterTrustBundles, configMaps, pods, secrets } from '#shared/api/kinds.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { makeAuthority } from '#shared/certificates/certificate.ts'
import { listMounts } from '#shared/linux/mount.ts'
import { rotateLog } from '#node-agent/kubelet/logs/rotate.ts'
import { containerDirectory, logFile } from '#node-agent/kubelet/pod/directory.ts'
import { attach } from '#node-agent/kubelet/sessions/attach.ts'
import { exec } from '#node-agent/kubelet/sessions/exec.ts'
import { logs } from '#node-agent/kubelet/sessions/logs.ts'
import { portForward } from '#node-agent/kubelet/sessions/portforward.ts'
import { newSampler, type Summary } from '#node-agent/kubelet/stats/sampler.ts'
import { stats } from '#node-agent/kubelet/sessions/stats.ts'
import { harness, isolated, type Harness } from './harness.ts'
import { statusOf, testSession } from './session.ts'

let h: Harness
beforeAll(async () => {
  h = await harness()
})
afterAll(async () => {
  await h.close()
})

// The shell is the container's first process: it must answer TERM itself.
const idle = 'trap "exit 0" TERM; while :; do sleep 0.05; done'
const sh = (name: string, script: string, more = {}) => ({
  name,
  image: 'busybox',
  command: ['sh', '-c', script],
  terminationMessagePath: '/dev/termination-log',
  ...more,
})
const isReady = (p: Pod) => p.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True')
const waiting = (p: Pod) => p.status?.containerStatuses?.[0]?.state?.waiting
const put = (kind: typeof configMaps | typeof secrets, name: string, data: { [key: string]: string }) =>
  h.api.put(kind, { apiVersion: 'v1', kind: kind.kind, metadata: { name, namespace: 'default' }, data } as never)
async function run(name: string, script: string): Promise<string> {
  const session = testSession({ namespace: 'default', name, command: ['sh', '-c', script] })
  await exec(h.kubelet(), h.options(), session)
  return session.received(Channel.stdout)
}

describe('configuration', () => {
  test('a missing Secret is waited for, by name', async () => {
    h.pod('late', { containers: [sh('c', idle, { env: [{ name: 'E', valueFrom: { secretKeyRef: { name: 'late', key: 'k' } } }] })] })
    const pod = await h.until('late', p => waiting(p)?.reason === 'CreateContainerConfigError')
    expect(waiting(pod)?.message).toBe('secret "late" not found')
    expect(pod.status?.phase).toBe('Pending')
    put(secrets, 'late', { k: Buffer.from('in time').toString('base64') })
    await h.until('late', isReady)
    expect(await run('late', 'printf "$E"')).toBe('in time')
  })

  test('a missing ConfigMap holds up the mount', async () => {
    h.pod('mount', {
      volumes: [{ name: 'v', configMap: { name: 'late' } }],
      containers: [sh('c', idle, { volumeMounts: [{ name: 'v', mountPath: '/v' }] })],
    })
    await h.api.until(() =>
      h
        .events('mount')
        .some(e => e.reason === 'FailedMount' && e.message === 'MountVolume.SetUp failed for volume "v" : configmap "late" not found'),
    )
    expect(waiting(h.get('mount')!)).toEqual({ reason: 'ContainerCreating' })
    const readyToStart = (p: Pod) => p.status?.conditions?.find(c => c.type === 'PodReadyToStartContainers')?.status
    expect(readyToStart(h.get('mount')!)).toBe('False')
    put(configMaps, 'late', { f: 'one' })
    expect(readyToStart(await h.until('mount', isReady))).toBe('True')
    expect(await run('mount', 'cat v/f')).toBe('one')
  })

  test('trust anchors by name and by signer, which hold up the mount while there are none, and follow', async () => {
    const [a, b, c] = ['a', 'b', 'c'].map(n => makeAuthority(n).cert) as [string, string, string]
    const trust = (name: string, trustBundle: string, signerName?: string, labels?: { [key: string]: string }) =>
      h.api.put(clusterTrustBundles, { metadata: { name, ...(labels ? { labels } : {}) }, spec: { signerName, trustBundle } } as never)
    const bySigner = { signerName: 'example.com/s', labelSelector: { matchLabels: { live: 'yes' } } }
    const sources = [
      { clusterTrustBundle: { name: 'one', path: 'one.pem' } },
      { clusterTrustBundle: { ...bySigner, path: 'signer.pem' } },
      { clusterTrustBundle: { signerName: 'example.com/s', path: 'unset.pem', optional: true } },
      { clusterTrustBundle: { name: 'none', path: 'none.pem', optional: true } },
    ]
    const volumes = [{ name: 'v', projected: { sources } }]
    h.pod('trust', { volumes, containers: [sh('c', idle, { volumeMounts: [{ name: 'v', mountPath: 'v' }] })] })
    const failed = (why: string): Promise<boolean> =>
      h.api.until(() =>
        h.events('trust').some(e => e.reason === 'FailedMount' && e.message === `MountVolume.SetUp failed for volume "v" : ${why}`),
      )
    const noSigner = 'combination of signerName and labelSelector matched zero ClusterTrustBundles'
    await failed(`[while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io "one" not found, ${noSigner}]`)
    trust('one', `# text between\n${a}${a}`)
    await failed(noSigner)
    trust('example.com:s:1', a + b, 'example.com/s', { live: 'yes' })
    trust('example.com:s:2', b, 'example.com/s', { live: 'yes' })
    trust('example.com:s:3', c, 'example.com/s', { live: 'no' })
    await h.until('trust', isReady)
    const anchors = async (file: string) => (await run('trust', `cat v/${file}`)).match(/-----BEGIN[^]*?END CERTIFICATE-----\n/g) ?? []
    expect(await anchors('one.pem')).toEqual([a])
    expect((await anchors('signer.pem')).sort()).toEqual([a, b].sort())
    expect([await run('trust', 'cat v/unset.pem v/none.pem'), await run('trust', 'ls v')]).toEqual([
      '',
      'none.pem\none.pem\nsigner.pem\nunset.pem\n',
    ])
    trust('one', c)
    trust('example.com:s:3', c, 'example.com/s', { live: 'yes' })
    await expect.poll(() => anchors('one.pem')).toEqual([c])
    await expect.poll(async () => (await anchors('signer.pem')).sort()).toEqual([a, b, c].sort())
  })

  test('volumes at their paths, with their owners, live', async () => {
    put(configMaps, 'cm', { f: 'one' })
    put(secrets, 's', { k: Buffer.from('hidden').toString('base64') })
    const host = join(h.rootDir, 'shared')
    h.pod(
      'vols',
      {
        securityContext: { fsGroup: 777 },
        volumes: [
          { name: 'cm', configMap: { name: 'cm', defaultMode: 0o444 } },
          {
            name: 'all',
            projected: {
              sources: [
                { secret: { name: 's' } },
                { serviceAccountToken: { path: 'token' } },
                { downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
              ],
            },
          },
          { name: 'mem', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
          { name: 'host', hostPath: { path: host, type: 'DirectoryOrCreate' } },
        ],
        containers: [
          sh('c', idle, {
            volumeMounts: [
              { name: 'cm', mountPath: '/cm' },
              { name: 'cm', mountPath: '/one', subPath: 'f' },
              { name: 'all', mountPath: '/all' },
              { name: 'mem', mountPath: '/mem' },
              { name: 'host', mountPath: '/host', readOnly: true },
            ],
          }),
        ],
      },
      { labels: { a: 'b' } },
    )
    const pod = await h.until('vols', isReady)
    expect(await run('vols', 'cat cm/f one all/k all/token all/labels')).toBe('oneonehiddena.token.ba="b"')
    if (isolated) expect(await run('vols', 'stat -f -c %T all')).toBe('tmpfs\n')
    if (isolated)
      expect(await run('vols', 'stat -c "%a %g" mem all/..data/token; touch mem/x cm/x host/x 2>/dev/null; ls mem')).toBe(
        '2777 777\n640 777\nx\n',
      )
    await writeFile(join(host, 'from-outside'), '')
    expect(await run('vols', 'ls host/')).toBe('from-outside\n')
    put(configMaps, 'cm', { f: 'two' })
    await expect.poll(() => run('vols', 'cat cm/f one')).toBe('twoone')
    const mounts = async () => (await listMounts()).filter(m => m.target.includes(h.rootDir) && m.target.includes(pod.metadata.uid!)).length
    expect((await mounts()) > 0).toBe(isolated)
    h.delete('vols', 5)
    await h.api.until(() => !h.get('vols'))
    expect(await mounts()).toBe(0)
    expect(await readdir(join(h.rootDir, 'memory'))).not.toContain(pod.metadata.uid)
    expect((await stat(join(host, 'from-outside'))).isFile()).toBe(true)
  })

  test('a command that does not exist', async () => {
    h.pod('nocmd', { restartPolicy: 'Never', containers: [{ name: 'c', image: 'busybox', command: ['no-such-command'] }] })
    const pod = await h.until('nocmd', p => p.status?.phase === 'Failed')
    expect(pod.status?.containerStatuses?.[0]?.state?.terminated).toMatchObject({
      exitCode: 128,
      reason: 'StartError',
      startedAt: '1970-01-01T00:00:00Z',
    })
    expect(pod.status?.containerStatuses?.[0]?.state?.terminated?.message).toMatch(
      /^failed to create containerd task: failed to create shim task: OCI runtime create failed: (runc create failed: )?unable to start container process: .*executable file not found in \$PATH: unknown$/,
    )
  })
})

describe('probes and hooks', () => {
  let server: Server
  let healthy = false
  beforeAll(async () => {
    server = createServer((request, response) => {
      if (request.url === '/away') return response.writeHead(302, { location: 'http://other.invalid/' }).end('elsewhere')
      return response.writeHead(request.url === '/ok' || healthy ? 200 : 503).end()
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  })
  afterAll(() => new Promise(resolve => server.close(resolve)))
  const port = () => (server.address() as AddressInfo).port

  test('readiness follows the probe', async () => {
    h.pod('ready', {
      containers: [
        sh('c', idle, {
          readinessProbe: { httpGet: { path: '/', port: port() }, periodSeconds: 1, failureThreshold: 1 },
          startupProbe: { tcpSocket: { port: port() }, periodSeconds: 1 },
        }),
      ],
    })
    await h.api.until(() =>
      h
        .events('ready')
        .some(e => e.reason === 'Unhealthy' && e.message === 'Readiness probe failed: HTTP probe failed with statuscode: 503'),
    )
    expect(h.get('ready')!.status?.containerStatuses?.[0]).toMatchObject({ ready: false, started: true })
    healthy = true
    await h.until('ready', isReady)
    healthy = false
    const pod = await h.until('ready', p => !isReady(p))
    expect(pod.status?.conditions?.find(c => c.type === 'Ready')).toMatchObject({
      reason: 'ContainersNotReady',
      message: 'containers with unready status: [c]',
    })
  })

  test('a probe that is sent to another host warns', async () => {
    h.pod('away', { containers: [sh('c', idle, { readinessProbe: { httpGet: { path: '/away', port: port() }, periodSeconds: 1 } })] })
    await h.until('away', isReady)
    const message = 'Readiness probe warning: Probe terminated redirects, Response body: elsewhere'
    await h.api.until(() => h.events('away').some(e => e.reason === 'ProbeWarning' && e.message === message))
  })

  test('a liveness failure restarts the container', async () => {
    h.pod('live', {
      containers: [
        sh('c', idle, { livenessProbe: { exec: { command: ['false'] }, initialDelaySeconds: 1, periodSeconds: 1, failureThreshold: 1 } }),
      ],
      terminationGracePeriodSeconds: 5,
    })
    const pod = await h.until('live', p => (p.status?.containerStatuses?.[0]?.restartCount ?? 0) > 0)
    expect(pod.status?.containerStatuses?.[0]?.lastState?.terminated).toMatchObject({ exitCode: 0, reason: 'Completed' })
    await h.api.until(() =>
      h.events('live').some(e => e.reason === 'Killing' && e.message === 'Container c failed liveness probe, will be restarted'),
    )
  })

  test('hooks run before the signal and after the start', async () => {
    const hooks = {
      postStart: { exec: { command: ['sh', '-c', 'echo post > tmp/post'] } },
      preStop: { exec: { command: ['sh', '-c', 'cat tmp/post > dev/termination-log; echo pre >> dev/termination-log'] } },
    }
    h.pod('hooks', {
      containers: [sh('c', 'trap "echo term >> dev/termination-log; exit 0" TERM; while :; do sleep 0.05; done', { lifecycle: hooks })],
    })
    await h.until('hooks', isReady)
    await expect.poll(() => run('hooks', 'cat tmp/post')).toBe('post\n')
    h.delete('hooks', 10)
    let message: string | undefined
    await h.api.until(() => {
      message = h.get('hooks')?.status?.containerStatuses?.[0]?.state?.terminated?.message ?? message
      return !h.get('hooks')
    })
    expect(message).toBe('post\npre\nterm\n')
  })

  test('a container waits until its postStart hook has ended, and so does the next', async () => {
    const hook = { exec: { command: ['sh', '-c', 'until [ -e tmp/go ]; do sleep 0.02; done'] } }
    h.pod('slowhook', { containers: [sh('c', idle, { lifecycle: { postStart: hook } }), sh('next', idle)] })
    await h.api.until(() => h.events('slowhook').some(e => e.reason === 'Started'))
    const during = await h.until('slowhook', p => (p.status?.containerStatuses?.length ?? 0) > 0)
    expect(during.status?.phase).toBe('Pending')
    expect(during.status?.containerStatuses).toMatchObject([
      { name: 'c', state: { waiting: { reason: 'ContainerCreating' } }, ready: false, started: false },
      { name: 'next', state: { waiting: { reason: 'ContainerCreating' } } },
    ])
    expect(await run('slowhook', 'touch tmp/go; echo in the hook')).toBe('in the hook\n')
    const after = await h.until('slowhook', isReady)
    expect(after.status?.containerStatuses?.map(c => [c.ready, c.restartCount])).toEqual([
      [true, 0],
      [true, 0],
    ])
  })

  test('a pod that is deleted does not wait for its postStart hook', async () => {
    h.pod('endless', { containers: [sh('c', idle, { lifecycle: { postStart: { exec: { command: ['sleep', '1000'] } } } })] })
    await h.api.until(() => h.events('endless').some(e => e.reason === 'Started'))
    h.delete('endless', 5)
    await h.api.until(() => !h.get('endless'))
  })

  test('a failing postStart hook kills the container', async () => {
    const ready: boolean[] = []
    h.pod('badhook', {
      containers: [sh('c', idle, { lifecycle: { postStart: { exec: { command: ['sh', '-c', 'exit 9'] } } } })],
      terminationGracePeriodSeconds: 5,
    })
    await h.api.until(() => {
      ready.push(isReady(h.get('badhook')!) ?? false)
      return h.events('badhook').some(e => e.reason === 'FailedPostStartHook')
    })
    expect(ready).not.toContain(true)
    await h.until('badhook', p => (p.status?.containerStatuses?.[0]?.restartCount ?? 0) > 0)
  })

  test('a pod that is active for too long is failed', async () => {
    h.pod('deadline', { activeDeadlineSeconds: 1, containers: [sh('c', idle)], terminationGracePeriodSeconds: 5 })
    const pod = await h.until('deadline', p => p.status?.phase === 'Failed')
    expect(pod.status).toMatchObject({
      reason: 'DeadlineExceeded',
      message: 'Pod was active on the node longer than the specified deadline',
    })
  })

  test('sidecars stop after the app, in the reverse of their order', async () => {
    const host = join(h.rootDir, 'order')
    const mount = { volumeMounts: [{ name: 'v', mountPath: '/v' }] }
    const member = (name: string, more = {}) =>
      sh(name, `trap "echo ${name} >> v/order; exit 0" TERM; echo up > v/${name}; while :; do sleep 0.02; done`, { ...mount, ...more })
    h.pod('order', {
      volumes: [{ name: 'v', hostPath: { path: host, type: 'DirectoryOrCreate' } }],
      initContainers: [member('one', { restartPolicy: 'Always' }), member('two', { restartPolicy: 'Always' })],
      containers: [member('app')],
    })
    await h.until('order', isReady)
    // Before they have their traps they would not notice the signal.
    await expect.poll(() => readdir(host)).toEqual(['app', 'one', 'two'])
    h.delete('order', 10)
    await h.api.until(() => !h.get('order'))
    expect(await readFile(join(host, 'order'), 'utf8')).toBe('app\ntwo\none\n')
  })

  test('a container that ignores the signal is killed after its grace', async () => {
    // Ready once it has its trap: the signal could come before.
    const readinessProbe = { exec: { command: ['test', '-e', 'trapped'] } }
    h.pod('stubborn', { containers: [sh('c', 'trap "" TERM; touch trapped; while :; do sleep 0.05; done', { readinessProbe })] })
    await h.until('stubborn', isReady)
    h.delete('stubborn', 1)
    let code: number | undefined
    await h.api.until(() => {
      code = h.get('stubborn')?.status?.containerStatuses?.[0]?.state?.terminated?.exitCode ?? code
      return !h.get('stubborn')
    })
    expect(code).toBe(137)
  })
})

describe('sessions', () => {
  beforeAll(async () => {
    h.pod('talk', { containers: [sh('c', `echo out; echo err >&2; ${idle}`)] })
    await h.until('talk', isReady)
  })
  test('an ephemeral container sees the processes of its target', async () => {
    const pod = await h.until('talk', isReady as never)
    // Brackets: what looks does not find itself.
    const script = 'for p in /proc/[0-9]*; do tr "\\0" " " < $p/cmdline; echo; done | grep "[e]cho out; echo err" > dev/termination-log'
    const ephemeral = { ...sh('debugger', script), targetContainerName: 'c', imagePullPolicy: 'Always', terminationMessagePolicy: 'File' }
    h.api.put(pods, { ...pod, spec: { ...pod.spec, ephemeralContainers: [ephemeral] } } as never)
    const after = await h.until('talk', p => p.status?.ephemeralContainerStatuses?.[0]?.state?.terminated !== undefined)
    expect(after.status?.ephemeralContainerStatuses?.[0]?.state?.terminated?.message).toContain('echo out; echo err')
  })
  test('containers that share their processes see each other, also after a restart', async () => {
    const list = 'for p in /proc/[0-9]*; do tr "\\0" " " < $p/cmdline; echo; done'
    h.pod('family', {
      shareProcessNamespace: true,
      terminationGracePeriodSeconds: 1,
      containers: [sh('one', `: first; ${idle}`), sh('two', `: second; ${idle}`)],
    })
    await h.until('family', isReady as never)
    const see = async (container: string): Promise<string> => {
      const session = testSession({ namespace: 'default', name: 'family', container, command: ['sh', '-c', list] })
      await exec(h.kubelet(), h.options(), session)
      return session.received(Channel.stdout)
    }
    expect(await see('one')).toContain(': second;')
    const killing = testSession({
      namespace: 'default',
      name: 'family',
      container: 'two',
      command: [
        'sh',
        '-c',
        'for p in /proc/[0-9]*; do grep -q ": first;" $p/cmdline && [ "$p" != "/proc/$$" ] && kill -9 ${p#/proc/}; done; true',
      ],
    })
    await exec(h.kubelet(), h.options(), killing)
    const pod = await h.until(
      'family',
      p => p.status?.containerStatuses?.some(c => c.name === 'one' && c.restartCount === 1 && c.ready) === true,
    )
    expect(pod.status?.containerStatuses?.find(c => c.name === 'two')?.restartCount).toBe(0)
    expect(await see('two')).toContain(': first;')
  })
  test('exec: streams and exit codes', async () => {
    const session = testSession({ namespace: 'default', name: 'talk', command: ['sh', '-c', 'cat; echo e >&2; exit 4'], stdin: true }, [
      'a',
      'b',
    ])
    expect(statusOf(await exec(h.kubelet(), h.options(), session))).toEqual(['Failure', 'NonZeroExitCode', '4'])
    expect([session.received(Channel.stdout), session.received(Channel.stderr)]).toEqual(['ab', 'e\n'])
    for (const tty of [false, true]) {
      const missing = testSession({ namespace: 'default', name: 'talk', command: ['no-such-command'], tty })
      await expect(exec(h.kubelet(), h.options(), missing)).rejects.toThrow(
        /^error executing command in container: failed to exec in container: failed to start exec "[0-9a-f]{64}": OCI runtime exec failed: exec failed: unable to start container process: exec: "no-such-command": executable file not found in \$PATH: unknown$/,
      )
      expect(missing.received(Channel.stdout) + missing.received(Channel.stderr)).toBe('')
    }
    await expect(exec(h.kubelet(), h.options(), testSession({ namespace: 'default', name: 'no', command: ['x'] }))).rejects.toThrow(
      'pod "no" not found',
    )
    await expect(
      exec(h.kubelet(), h.options(), testSession({ namespace: 'default', name: 'talk', container: 'x', command: ['x'] })),
    ).rejects.toThrow('container x is not valid for pod talk')
    await expect(exec(h.kubelet(), h.options(), testSession({ bad: true }))).rejects.toThrow('namespace')
  })
  test('attach: a client whose input has ended goes, unless the container ends with it', async () => {
    h.pod('open', { containers: [sh('c', 'while read line; do echo "got $line"; done; echo closed', { stdin: true })] })
    await h.until('open', isReady)
    const session = testSession({ namespace: 'default', name: 'open', stdin: true, stdout: true, stderr: true }, ['one\n'])
    expect(statusOf(await attach(h.kubelet(), h.options(), session))[0]).toBe('Success')
    const again = testSession({ namespace: 'default', name: 'open', stdin: true, stdout: true, stderr: true }, ['two\n'])
    await attach(h.kubelet(), h.options(), again)
    const log = async () => {
      const reading = testSession({ namespace: 'default', name: 'open' })
      await logs(h.kubelet(), reading)
      return reading.received(Channel.stdout)
    }
    await expect.poll(log).toBe('got one\ngot two\n')
    h.pod('once', { restartPolicy: 'Never', containers: [sh('c', 'cat; echo closed', { stdin: true, stdinOnce: true })] })
    await h.until('once', isReady)
    const once = testSession({ namespace: 'default', name: 'once', stdin: true, stdout: true, stderr: true }, ['all of it\n'])
    await attach(h.kubelet(), h.options(), once)
    expect(once.received(Channel.stdout)).toBe('all of it\nclosed\n')
  })
  test('logs', async () => {
    const read = async (more = {}) => {
      const session = testSession({ namespace: 'default', name: 'talk', ...more })
      await logs(h.kubelet(), session)
      return session.received(Channel.stdout)
    }
    expect((await read()).split('\n').sort()).toEqual(['', 'err', 'out'])
    expect(await read({ tailLines: 0 })).toBe('')
    await expect(read({ previous: true })).rejects.toThrow('previous terminated container "c" in pod "talk" not found')
    h.pod('nolog', { containers: [{ name: 'c', image: 'no.such/image' }] })
    await h.until('nolog', p => waiting(p)?.reason === 'ErrImagePull')
    await expect(read({ name: 'nolog' })).rejects.toThrow('container "c" in pod "nolog" is waiting to start: ')
    h.pod('refused', { containers: [{ name: 'c', image: 'busybox', resources: { requests: { cpu: '1000' } } }] })
    await h.until('refused', p => p.status?.phase === 'Failed')
    await expect(read({ name: 'refused' })).rejects.toThrow('container "c" in pod "refused" is not available')
  })
  test('following ends when the container does', async () => {
    const session = testSession({ namespace: 'default', name: 'talk', follow: true })
    const done = logs(h.kubelet(), session)
    h.delete('talk', 5)
    await done
    expect(session.received(Channel.stdout)).toContain('out\n')
  })
  test('a log that is too long is set aside, and nothing of it is lost', async () => {
    h.pod('rotate', { containers: [sh('c', `i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); sleep 0.005; done; ${idle}`)] })
    const pod = await h.until('rotate', isReady)
    const { directory } = h.kubelet().worker(pod.metadata.uid!)!
    const path = logFile(directory, 'c', 0)
    const session = testSession({ namespace: 'default', name: 'rotate', follow: true })
    const following = logs(h.kubelet(), session)
    await expect.poll(() => session.received(Channel.stdout)).toContain('line 20\n')
    expect(await rotateLog(h.options().runtime, containerDirectory(directory, 'c', 0), path, { maxBytes: 1, maxFiles: 5 })).toBe(true)
    await expect.poll(() => session.received(Channel.stdout), { timeout: 10_000 }).toContain('line 199\n')
    const all = Array.from({ length: 200 }, (_, i) => `line ${i}\n`).join('')
    expect(session.received(Channel.stdout)).toBe(all)
    const whole = testSession({ namespace: 'default', name: 'rotate' })
    await logs(h.kubelet(), whole)
    expect(whole.received(Channel.stdout)).toBe(all)
    session.close()
    await following
  })
  test('portforward reaches a port of the pod', async () => {
    const echo = createTcpServer(socket => socket.pipe(socket))
    await new Promise<void>(resolve => echo.listen(0, '127.0.0.1', resolve))
    h.pod('forward', { containers: [sh('c', idle)] })
    await h.until('forward', isReady)
    const { port } = echo.address() as AddressInfo
    const session = testSession({ namespace: 'default', name: 'forward', port }, ['there ', 'and back'])
    expect(statusOf(await portForward(h.kubelet(), session))[0]).toBe('Success')
    expect(session.received(Channel.stdout)).toBe('there and back')
    await new Promise(resolve => echo.close(resolve))
    await expect(portForward(h.kubelet(), testSession({ namespace: 'default', name: 'forward', port }))).rejects.toThrow(
      `failed to connect to localhost:${port}`,
    )
  })
  test('portforward is over when the pod closes the connection', async () => {
    const server = createTcpServer(socket => socket.end('bye'))
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    h.pod('closing', { containers: [sh('c', idle)] })
    await h.until('closing', isReady)
    const session = testSession({ namespace: 'default', name: 'closing', port: (server.address() as AddressInfo).port })
    // The client has not finished.
    session.read = async function* () {
      await new Promise(() => {})
    }
    expect(statusOf(await portForward(h.kubelet(), session))[0]).toBe('Success')
    expect(session.received(Channel.stdout)).toBe('bye')
    await new Promise(resolve => server.close(resolve))
  })
  test('stats tell of every running container, and of what it wrote', async () => {
    const volumes = [{ name: 'd', emptyDir: {} }]
    const script = `dd if=/dev/zero of=d/x bs=1M count=3; dd if=/dev/zero of=y bs=1M count=2; touch written; ${idle}`
    const written = { readinessProbe: { exec: { command: ['test', '-e', 'written'] } } }
    const { uid } = h.pod('stats', {
      volumes,
      containers: [sh('c', script, { ...written, volumeMounts: [{ name: 'd', mountPath: '/d' }] })],
    }).metadata
    await h.until('stats', isReady)
    const sampler = newSampler({ ...h.options(), kubelet: h.kubelet() })
    const session = testSession({})
    await stats(sampler, session)
    const summary = JSON.parse(session.received(Channel.stdout)) as Summary
    expect(summary.node).toMatchObject({ nodeName: 'n1', fs: { capacityBytes: expect.any(Number) as number }, memory: {}, cpu: {} })
    const found = summary.pods.find(p => p.podRef.uid === uid)!
    expect(found.containers[0]).toMatchObject({ name: 'c', memory: { workingSetBytes: expect.any(Number) as number } })
    const megabytes = (used: number | undefined) => Math.round((used ?? 0) / 2 ** 20)
    expect(found.volume?.map(v => [v.name, megabytes(v.usedBytes)])).toEqual([['d', 3]])
    expect(megabytes(found.containers[0]?.rootfs?.usedBytes)).toBe(2)
    expect(megabytes(found['ephemeral-storage']?.usedBytes)).toBe(5)
    const brief = testSession({ onlyCPUAndMemory: true })
    await stats(sampler, brief)
    expect(brief.received(Channel.stdout)).not.toContain('ephemeral-storage')
  })
})

test('every pod that is deleted leaves the node', async () => {
  for (const pod of h.api.all(pods)) h.delete(pod.metadata.name!, 1)
  await h.api.until(() => h.api.all(pods).length === 0, 20_000)
  expect((await listMounts()).filter(m => m.target.startsWith(join(h.rootDir, 'pods')))).toEqual([])
})
