/** Images of one's own, from `docker save` to a pod. */
import path from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, runCox } from '../../fixtures/cluster.ts'
import { busyboxLayer, documentsOf, digestOf, gzip, pythonLayers, tarOf, type TestImage } from '../../fixtures/images.ts'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'

const cox = path.resolve(import.meta.dirname, '../../../control-plane/cli/cox.sh')
let cluster: SharedCluster
beforeAll(async () => {
  cluster = await sharedCluster()
}, 120_000)
afterAll(async () => {
  const { stdout } = await coxImage('list', '-o', 'json')
  const own = (JSON.parse(stdout) as { kind: string; names: string[] }[]).filter(i => i.kind !== 'host').flatMap(i => i.names)
  const ours = own.filter(name => name.includes('/behaviour/'))
  await cluster?.stop()
  if (ours.length > 0) await coxImage('rm', ...ours)
}, 120_000)

const coxImage = (command: string, ...args: string[]) => runCox(['image', command, '--state-dir', cluster.dir, ...args])
/** `docker save NAME | cox image load -` */
async function load(name: string, image: TestImage): Promise<{ stdout: string; id: string }> {
  const { config } = documentsOf(image)
  const archive = tarOf([
    { name: 'config.json', content: config },
    ...image.layers.map((content, n) => ({ name: `${n}/layer.tar`, content })),
    {
      name: 'manifest.json',
      content: JSON.stringify([{ Config: 'config.json', RepoTags: [name], Layers: image.layers.map((_, n) => `${n}/layer.tar`) }]),
    },
  ])
  const { stdout } = await execa(cox, ['image', 'load', '-', '--state-dir', cluster.dir], { input: gzip(archive), timeout: 60_000 })
  return { stdout, id: digestOf(config) }
}

const source = `
import http.server, json, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"uid": os.getuid(), "cwd": os.getcwd(), "files": sorted(os.listdir("/"))}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
`

test('an application of one’s own is loaded, deployed and answers', async () => {
  const config = { User: '4000', WorkingDir: '/app', Entrypoint: ['python3', '-u', 'main.py'], Env: ['PATH=/usr/bin'] }
  const { stdout, id } = await load('behaviour/app:1', { layers: pythonLayers(source), config })
  expect(stdout).toMatch(/^loaded behaviour\/app:1 \([0-9a-f]{12}, [\d.]+MiB\)$/)
  await cluster.kubectl('create', 'deployment', 'app', '--image=behaviour/app:1', '--replicas=3')
  await cluster.kubectl('rollout', 'status', 'deployment/app', '--timeout=60s')
  await cluster.kubectl('expose', 'deployment', 'app', '--port=80', '--target-port=8000')
  const address = await cluster.kubectl('get', 'service', 'app', '-o', 'jsonpath={.spec.clusterIP}')
  const { stdout: answer } = await execa('curl', ['-sS', '--retry', '5', '--retry-all-errors', '-m', '5', `http://${address}/`])
  expect(JSON.parse(answer)).toMatchObject({
    uid: 4000,
    cwd: '/app',
    files: expect.not.arrayContaining(['home', 'opt', 'srv']) as string[],
  })
  const status = await cluster.kubectl('get', 'pods', '-l', 'app=app', '-o', 'jsonpath={.items[*].status.containerStatuses[0].imageID}')
  expect(status.split(' ')).toEqual([id, id, id])
  // What runs keeps what it needs.
  const { stdout: removed } = await coxImage('rm', 'behaviour/app:1')
  expect(removed).toContain('removed behaviour/app:1')
  await cluster.kubectl('exec', 'deployment/app', '--', 'python3', '-c', 'import calendar')
}, 120_000)

test('a newer image by the same name is what new pods get, also with imagePullPolicy Always', async () => {
  const image = (word: string): TestImage => ({
    layers: [gzip(busyboxLayer()), tarOf([{ name: 'word', content: word }])],
    config: { Env: ['PATH=/bin'], Cmd: ['sleep', '1000'] },
  })
  const run = async (pod: string): Promise<string> => {
    await cluster.kubectl('run', pod, '--image=behaviour/word', '--restart=Never', '--grace-period=1', '--command', '--', 'cat', '/word')
    await cluster.kubectl('wait', `pod/${pod}`, '--for=jsonpath={.status.phase}=Succeeded', '--timeout=60s')
    return await cluster.kubectl('logs', pod)
  }
  await load('behaviour/word', image('first'))
  expect(await run('first')).toBe('first')
  await load('behaviour/word', image('second'))
  expect(await run('second')).toBe('second')
}, 120_000)

test('a name of which there is no image says what could be done; a program takes its place', async () => {
  await cluster.kubectl('run', 'mapped', '--image=registry.invalid/behaviour/program:3', '--restart=Never', '--', 'Hello')
  const message = async (): Promise<string> =>
    await cluster.kubectl('get', 'pod', 'mapped', '-o', 'jsonpath={.status.containerStatuses[0].state.waiting.message}')
  await eventually(async () => /cox image map registry\.invalid\/behaviour\/program PROGRAM/.test(await message()), 'the hint')
  const { stdout } = await coxImage('map', 'registry.invalid/behaviour/program', '--', 'echo', '-e')
  expect(stdout).toBe('registry.invalid/behaviour/program is echo -e')
  await cluster.kubectl('wait', 'pod/mapped', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=60s')
  expect(await cluster.kubectl('logs', 'mapped')).toBe('Hello')
  expect((await coxImage('list')).stdout).toMatch(/registry\.invalid\/behaviour\/program +mapped/)
}, 120_000)
