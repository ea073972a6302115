/** Streams to a kubelet, which the test plays over a real session, driven by the real kubectl. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Channel, type Session } from '#shared/bus/session.ts'
import { serveSessions } from '#shared/bus/sessions.ts'
import { nodeSubject } from '#shared/bus/subjects.ts'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { runTool } from '../../fixtures/kubectl.ts'
import { addServiceAccount, bindTo, pod, pods } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
const opened: Record<string, unknown>[] = []
const success = Buffer.from(JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' }))
const exited = (code: number) =>
  Buffer.from(
    JSON.stringify({
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: `command terminated with non-zero exit code: exit status ${code}`,
      reason: 'NonZeroExitCode',
      details: { causes: [{ reason: 'ExitCode', message: String(code) }] },
      code: 500,
    }),
  )

async function exec(s: Session): Promise<void> {
  const open = s.open as { command: string[]; stdin: boolean }
  opened.push(open as never)
  const [program] = open.command
  if (program === 'cat') {
    for await (const data of s.read(Channel.stdin)) await s.send(Channel.stdout, data)
  } else if (program === 'large') {
    const piece = Buffer.alloc(256 * 1024, 'x')
    for (let i = 0; i < 40; i++) await s.send(Channel.stdout, piece)
  } else {
    await s.send(Channel.stdout, Buffer.from('to stdout\n'))
    await s.send(Channel.stderr, Buffer.from('to stderr\n'))
  }
  await s.send(Channel.error, program === 'fail' ? exited(7) : success)
  for (const channel of [Channel.stdout, Channel.stderr, Channel.error]) s.end(channel)
}

async function logs(s: Session): Promise<void> {
  const open = s.open as { container: string; tailLines?: number }
  opened.push(open as never)
  if (open.container === 'waiting') {
    await s.send(
      Channel.error,
      Buffer.from(
        JSON.stringify({
          status: 'Failure',
          code: 400,
          reason: 'BadRequest',
          message: 'container "waiting" in pod "p" is waiting to start: ContainerCreating',
        }),
      ),
    )
  } else {
    for (let i = 0; i < (open.tailLines ?? 3); i++) await s.send(Channel.stdout, Buffer.from(`line ${i}\n`))
    await s.send(Channel.error, success)
  }
  s.end(Channel.stdout)
  s.end(Channel.error)
}

beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
  await addServiceAccount(rest)
  const node = await api.nats.connect('system:node:n1')
  serveSessions(node, nodeSubject('system:node:n1', 'exec'), exec)
  serveSessions(node, nodeSubject('system:node:n1', 'logs'), logs)
  await node.nats.flush()
  await rest(
    'POST',
    pods,
    pod('p', {
      containers: [
        { name: 'c', image: 'i' },
        { name: 'waiting', image: 'i' },
      ],
    }),
  )
  await bindTo(rest, 'p', 'n1')
  await rest('PATCH', `${pods}/p/status`, { status: { phase: 'Running' } }, { headers: { 'content-type': 'application/merge-patch+json' } })
})
afterAll(() => api?.stop())

const kubectl = (...args: string[]) => runTool('kubectl', api.kubeconfig, args)

describe('exec', () => {
  it('carries both outputs and the exit code', async () => {
    expect(await kubectl('exec', 'p', '-c', 'c', '--', 'echo', 'a b')).toMatchObject({ code: 0, stdout: 'to stdout', stderr: 'to stderr' })
    expect(opened.at(-1)).toMatchObject({
      namespace: 'default',
      name: 'p',
      container: 'c',
      command: ['echo', 'a b'],
      stdin: false,
      stdout: true,
      stderr: true,
      tty: false,
    })
    expect((await kubectl('exec', 'p', '-c', 'c', '--', 'fail')).code).toBe(7)
  })

  it('carries input to its end, and much output', async () => {
    const input = 'some input\n'.repeat(10_000)
    const echoed = await runTool('kubectl', api.kubeconfig, ['exec', '-i', 'p', '-c', 'c', '--', 'cat'], {
      input,
      stripFinalNewline: false,
    })
    expect(echoed.code).toBe(0)
    expect(echoed.stdout).toBe(input)
    expect((await runTool('kubectl', api.kubeconfig, ['exec', 'p', '-c', 'c', '--', 'large'])).stdout).toHaveLength(10 * 1024 * 1024)
  })

  it('says what is wrong', async () => {
    expect((await kubectl('exec', 'p', '-c', 'nothing', '--', 'true')).stderr).toContain('container nothing is not valid for pod p')
    expect((await rest('GET', `${pods}/p/exec?container=c&stdout=true&command=true`)).body).toMatchObject({
      code: 400,
      message: 'Upgrade request required',
    })
    expect((await rest('GET', `${pods}/p/exec?container=c&stdout=true`)).body).toMatchObject({
      code: 400,
      message: 'you must specify at least one command for the container',
    })
    await rest('POST', pods, pod('lost'))
    await bindTo(rest, 'lost', 'n2')
    await rest(
      'PATCH',
      `${pods}/lost/status`,
      { status: { phase: 'Running' } },
      { headers: { 'content-type': 'application/merge-patch+json' } },
    )
    expect((await kubectl('exec', 'lost', '--', 'true')).stderr).toContain('error dialing the kubelet of node n2')
  })
})

describe('log', () => {
  it('streams what the kubelet has', async () => {
    expect((await rest('GET', `${pods}/p/log?container=c`)).text).toBe('line 0\nline 1\nline 2\n')
    expect((await kubectl('logs', 'p', '-c', 'c', '--tail=2', '--timestamps')).stdout).toBe('line 0\nline 1')
    expect(opened.at(-1)).toMatchObject({ tailLines: 2, timestamps: true, follow: false, previous: false })
  })

  it('says what is wrong', async () => {
    expect((await rest('GET', `${pods}/p/log?container=waiting`)).body).toMatchObject({
      code: 400,
      message: 'container "waiting" in pod "p" is waiting to start: ContainerCreating',
    })
    expect((await rest('GET', `${pods}/p/log`)).body).toMatchObject({
      code: 400,
      message: 'a container name must be specified for pod p, choose one of: [c waiting]',
    })
    expect((await rest('GET', `${pods}/p/log?container=c&tailLines=-1`)).body).toMatchObject({ code: 422, reason: 'Invalid' })
    expect((await rest('GET', `${pods}/none/log`)).code).toBe(404)
  })
})

it('who may only get them makes no streams into pods, over WebSockets either', async () => {
  const rbac = '/apis/rbac.authorization.k8s.io/v1/namespaces/default'
  const make = async (name: string, ...verbs: string[]) => {
    const rules = [
      { apiGroups: [''], resources: ['pods'], verbs: ['get'] },
      { apiGroups: [''], resources: ['pods/exec', 'pods/attach', 'pods/portforward'], verbs },
    ]
    await rest('POST', `${rbac}/roles`, { metadata: { name }, rules })
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name }
    await rest('POST', `${rbac}/rolebindings`, { metadata: { name }, roleRef, subjects: [{ kind: 'User', name }] })
  }
  await make('looks', 'get')
  await make('works', 'get', 'create')
  const headers = { 'impersonate-user': 'looks' }
  for (const stream of ['exec?container=c&stdout=true&command=true', 'attach?container=c&stdout=true', 'portforward?ports=80'])
    expect((await rest('GET', `${pods}/p/${stream}`, undefined, { headers })).body).toMatchObject({
      code: 403,
      reason: 'Forbidden',
      message: 'pods "p" is forbidden: ',
    })
  expect((await kubectl('exec', 'p', '-c', 'c', '--as=looks', '--', 'echo', 'a')).stderr).toContain('pods "p" is forbidden')
  expect((await kubectl('exec', 'p', '-c', 'c', '--as=works', '--', 'echo', 'a b')).code).toBe(0)
})
