/** What a pod's spec says of how its containers begin, end and come again; on a real runtime. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Container } from '#shared/api/core/podspec/container.ts'
import { harness, isolated, type Harness } from './harness.ts'

let h: Harness
beforeAll(async () => {
  h = await harness()
})
afterAll(async () => {
  await h.close()
})

const idle = 'trap "exit 0" TERM; while :; do sleep 0.05; done'
const sh = (name: string, script: string, more: Partial<Container> = {}): Container => ({
  name,
  image: 'busybox',
  command: ['sh', '-c', script],
  terminationMessagePath: '/dev/termination-log',
  ...more,
})
const isReady = (p: Pod) => p.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True')
const first = (p: Pod | undefined) => p?.status?.containerStatuses?.[0]
/** Deletes a pod and resolves with the last that was known of it. */
async function last(name: string, graceSeconds: number): Promise<Pod> {
  let pod = h.get(name)!
  h.delete(name, graceSeconds)
  await h.api.until(() => {
    pod = h.get(name) ?? pod
    return !h.get(name)
  })
  return pod
}
/** Every status that the pod has until `condition`. */
async function statusesUntil(name: string, condition: (p: Pod) => unknown): Promise<Pod['status'][]> {
  const seen: Pod['status'][] = []
  await h.until(name, p => (seen.push(p.status), condition(p)))
  return seen
}

describe('the end of a container', () => {
  // Ready once it has its trap: the signal could come before.
  const readinessProbe = { exec: { command: ['test', '-e', 'trapped'] } }
  test('it is stopped with its own signal', async () => {
    h.pod('signal', {
      os: { name: 'linux' },
      containers: [
        sh('c', 'trap "exit 5" USR1; touch trapped; while :; do sleep 0.05; done', {
          readinessProbe,
          lifecycle: { stopSignal: 'SIGUSR1' },
        }),
      ],
    })
    expect(first(await h.until('signal', isReady))?.stopSignal).toBe('SIGUSR1')
    expect(first(await last('signal', 20))?.state?.terminated).toMatchObject({ exitCode: 5, reason: 'Error' })
  })

  test('its last words are the last 4096 bytes that it left', async () => {
    h.pod('words', { restartPolicy: 'Never', containers: [sh('c', 'printf "%05000d" 7 > dev/termination-log')] })
    const pod = await h.until('words', p => p.status?.phase === 'Succeeded')
    expect(first(pod)?.state?.terminated?.message).toBe('7'.padStart(4096, '0'))
  })

  test('the words of all containers fit into 12 KiB', async () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f']
    h.pod('many', { restartPolicy: 'Never', containers: names.map(n => sh(n, 'printf "%05000d" 7 > dev/termination-log')) })
    const pod = await h.until('many', p => p.status?.phase === 'Succeeded')
    expect(pod.status?.containerStatuses?.map(s => s.state?.terminated?.message?.length)).toEqual(names.map(() => 2048))
  })

  test('a liveness probe may give less grace than the pod', async () => {
    const livenessProbe = {
      exec: { command: ['test', '!', '-e', 'trapped'] },
      periodSeconds: 1,
      failureThreshold: 1,
      terminationGracePeriodSeconds: 1,
    }
    h.pod('impatient', {
      terminationGracePeriodSeconds: 600,
      containers: [sh('c', 'trap "" TERM; touch trapped; while :; do sleep 0.05; done', { livenessProbe })],
    })
    const pod = await h.until('impatient', p => (first(p)?.restartCount ?? 0) > 0)
    expect(first(pod)?.lastState?.terminated).toMatchObject({ exitCode: 137 })
    await last('impatient', 1)
  })

  test('a deletion that runs can be made shorter', async () => {
    h.pod('hurry', {
      terminationGracePeriodSeconds: 600,
      containers: [sh('c', 'trap "" TERM; touch trapped; while :; do sleep 0.05; done', { readinessProbe })],
    })
    await h.until('hurry', isReady)
    h.delete('hurry', 600)
    await h.api.until(() => h.events('hurry').some(e => e.reason === 'Killing'))
    expect(first(await last('hurry', 1))?.state?.terminated).toMatchObject({ exitCode: 137 })
  })

  test('without any grace there is no hook, but a moment for the signal', async () => {
    const lifecycle = { preStop: { exec: { command: ['sh', '-c', 'echo hook > dev/termination-log'] } } }
    h.pod('graceless', {
      containers: [sh('c', 'trap "exit 6" TERM; touch trapped; while :; do sleep 0.05; done', { readinessProbe, lifecycle })],
    })
    await h.until('graceless', isReady)
    const status = first(await last('graceless', 0))?.state?.terminated
    expect(status).toMatchObject({ exitCode: 6 })
  })

  test('one that crashes again and again ends as it ended last when its pod does', async () => {
    h.pod('over', { activeDeadlineSeconds: 2, containers: [sh('c', 'exit 9')] })
    const pod = await h.until('over', p => p.status?.phase === 'Failed')
    expect(pod.status?.reason).toBe('DeadlineExceeded')
    expect(first(pod)?.state?.terminated).toMatchObject({ exitCode: 9, reason: 'Error' })
  })

  test('one that never began counts as failed when its pod ends', async () => {
    const image = 'no.such.registry.invalid/nothing:1'
    h.pod('never', { activeDeadlineSeconds: 1, containers: [sh('c', 'true', { image })] })
    const pod = await h.until('never', p => p.status?.phase === 'Failed')
    expect(first(pod)?.state?.terminated).toMatchObject({
      exitCode: 137,
      reason: 'ContainerStatusUnknown',
      message: 'The container could not be located when the pod was terminated',
    })
  })
})

describe('restarts', () => {
  const volumes = [{ name: 'v', emptyDir: {} }]
  const volumeMounts = [{ name: 'v', mountPath: '/v' }]
  test("a container's rules come before the pod's policy", async () => {
    h.pod('rules', {
      restartPolicy: 'Never',
      volumes,
      containers: [
        sh('c', 'test -e v/again && exit 3; touch v/again; exit 42', {
          volumeMounts,
          restartPolicy: 'Never',
          restartPolicyRules: [{ action: 'Restart', exitCodes: { operator: 'In', values: [42] } }],
        }),
        sh('other', 'while ! test -e v/again; do sleep 0.05; done; sleep 1', { volumeMounts }),
      ],
    })
    const seen = await statusesUntil('rules', p => p.status?.phase === 'Failed')
    const end = seen.at(-1)?.containerStatuses?.[0]
    expect(end).toMatchObject({ restartCount: 1, state: { terminated: { exitCode: 3 } }, lastState: { terminated: { exitCode: 42 } } })
    expect(seen.slice(0, -1).map(s => s?.phase)).not.toContain('Failed')
  })

  test('an init container that may fail does not fail its pod', async () => {
    h.pod('tries', {
      restartPolicy: 'Never',
      volumes,
      initContainers: [sh('i', 'test -e v/again || { touch v/again; exit 1; }', { volumeMounts, restartPolicy: 'OnFailure' })],
      containers: [sh('c', 'true')],
    })
    const seen = await statusesUntil('tries', p => p.status?.phase === 'Succeeded' || p.status?.phase === 'Failed')
    expect(seen.at(-1)).toMatchObject({ phase: 'Succeeded', initContainerStatuses: [{ restartCount: 1, ready: true }] })
  })

  test('a sidecar whose startup probe fails is started again before the app', async () => {
    const startupProbe = { exec: { command: ['test', '-e', 'v/up'] }, periodSeconds: 1, failureThreshold: 1 }
    h.pod('late', {
      terminationGracePeriodSeconds: 1,
      volumes,
      initContainers: [
        sh('side', `test -e v/again && touch v/up; touch v/again; ${idle}`, { volumeMounts, restartPolicy: 'Always', startupProbe }),
      ],
      containers: [sh('c', idle)],
    })
    const seen = await statusesUntil('late', isReady)
    expect(seen.at(-1)?.initContainerStatuses?.[0]).toMatchObject({ restartCount: 1, started: true, ready: true })
    for (const s of seen) if (s?.containerStatuses?.[0]?.state?.running) expect(s.initContainerStatuses?.[0]?.started).toBe(true)
  })
})

describe('hooks', () => {
  const failing = (name: string, postStart: NonNullable<NonNullable<Container['lifecycle']>['postStart']>) =>
    h.pod(name, { terminationGracePeriodSeconds: 1, containers: [sh('c', idle, { lifecycle: { postStart } })] })
  const hookError = async (name: string): Promise<string | undefined> => {
    const pod = await h.until(name, p => first(p)?.state?.waiting?.reason === 'PostStartHookError')
    return first(pod)?.state?.waiting?.message
  }
  test('a failing command tells how it failed', async () => {
    const { uid } = failing('badexec', { exec: { command: ['sh', '-c', 'echo out; echo err >&2; exit 3'] } }).metadata
    const text = await hookError('badexec')
    expect(text).toMatch(
      `Exec lifecycle hook ([sh -c echo out; echo err >&2; exit 3]) for Container "c" in Pod "badexec_default(${uid})" failed - error: command 'sh -c echo out; echo err >&2; exit 3' exited with 3: err\n, message: `,
    )
    await h.api.until(() => h.events('badexec').some(e => e.reason === 'FailedPostStartHook' && e.message === 'PostStartHook failed'))
    expect(h.events('badexec').some(e => e.reason === 'Killing' && e.message === 'FailedPostStartHook')).toBe(true)
  })
  test('tcpSocket is no hook', async () => {
    failing('tcp', { tcpSocket: { port: 1 } })
    expect(await hookError('tcp')).toBe('Cannot run handler: invalid handler: {"tcpSocket":{"port":1}}')
  })
  test('any answer to httpGet is good, also one without TLS', async () => {
    const asked: string[] = []
    const server = createServer((request, response) => {
      asked.push(request.url ?? '')
      response.writeHead(500).end()
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    try {
      failing('http', { httpGet: { port, path: '/plain' } })
      await h.until('http', isReady)
      failing('https', { httpGet: { port, path: '/tls', scheme: 'HTTPS' } })
      await h.until('https', isReady)
      expect(asked).toEqual(['/plain', '/tls'])
      await h.api.until(() => h.events('https').some(e => e.reason === 'LifecycleHTTPFallback'))
    } finally {
      server.close()
    }
  })
})

test('a probe whose command is not there says nothing of its container', async () => {
  const livenessProbe = { exec: { command: ['no-such-command'] }, periodSeconds: 1, failureThreshold: 1 }
  h.pod('noprobe', { containers: [sh('c', idle, { livenessProbe })] })
  const event = () => h.events('noprobe').find(e => e.reason === 'Unhealthy')
  await h.api.until(() => (event()?.count ?? 0) > 1)
  expect(event()?.message).toBe(
    'Liveness probe errored and resulted in unknown state: rpc error: code = Unknown desc = failed to exec in container: failed to start exec: ' +
      'OCI runtime exec failed: exec failed: unable to start container process: exec: "no-such-command": executable file not found in $PATH: unknown',
  )
  expect(first(h.get('noprobe'))).toMatchObject({ restartCount: 0, ready: true })
})

describe('configuration', () => {
  test('variables from a file that an init container writes', async () => {
    h.pod('envfile', {
      restartPolicy: 'Never',
      volumes: [{ name: 'v', emptyDir: {} }],
      initContainers: [
        sh('i', `printf "A='one'\\n" > v/a.env; ln -s /etc/hostname v/out`, { volumeMounts: [{ name: 'v', mountPath: '/v' }] }),
      ],
      containers: [
        sh('c', 'printf "$A" > dev/termination-log', {
          env: [{ name: 'A', valueFrom: { fileKeyRef: { volumeName: 'v', path: 'a.env', key: 'A', optional: false } } }],
        }),
        sh('out', 'true', { env: [{ name: 'A', valueFrom: { fileKeyRef: { volumeName: 'v', path: 'out', key: 'A', optional: false } } }] }),
      ],
    })
    const pod = await h.until('envfile', p => first(p)?.state?.terminated && p.status?.containerStatuses?.[1]?.state?.waiting?.message)
    expect(first(pod)?.state?.terminated?.message).toBe('one')
    expect(pod.status?.containerStatuses?.[1]?.state?.waiting).toEqual({
      reason: 'CreateContainerConfigError',
      message: 'subPath "out" leads out of its volume',
    })
  })

  test.runIf(isolated)('a container that cannot be made does not hold up the others', async () => {
    const seccompProfile = { type: 'Localhost', localhostProfile: 'no-such.json' }
    h.pod('nothing', { containers: [sh('c', idle, { securityContext: { seccompProfile } }), sh('d', idle)] })
    const pod = await h.until(
      'nothing',
      p => p.status?.containerStatuses?.[1]?.ready && first(p)?.state?.waiting?.reason === 'CreateContainerError',
    )
    expect(first(pod)).toMatchObject({ restartCount: 0, lastState: {} })
    await h.api.until(() => h.events('nothing').some(e => e.reason === 'Failed' && e.message?.startsWith('Error: ')))
    expect(h.events('nothing').filter(e => e.reason === 'Created')).toHaveLength(1)
  })

  test('name servers that do not fit are told', async () => {
    const nameservers = ['1.1.1.1', '1.1.1.2', '1.1.1.3', '1.1.1.4']
    h.pod('dns', { dnsPolicy: 'None', dnsConfig: { nameservers }, containers: [sh('c', idle)] })
    await h.until('dns', isReady)
    const message =
      'Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 1.1.1.1 1.1.1.2 1.1.1.3'
    await h.api.until(() => h.events('dns').some(e => e.reason === 'DNSConfigForming' && e.message === message))
  })
})
