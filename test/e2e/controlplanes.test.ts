/** A control plane on two machines: the second has API server, controllers and scheduler, and knows the first one's nats-server by TLS. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ProcessRow } from '#control-plane/cli/ps.ts'
import { eventually, runCox, startCluster, type ClusterFixture } from '../fixtures/cluster.ts'
import { runTool } from '../fixtures/kubectl.ts'
import { startMachines, type Machine, type Machines } from '../fixtures/machines.ts'

let machines: Machines
let cluster: ClusterFixture
let home: Machine
let far: Machine
let farDir = ''
let joinArgs: string[] = []

const cox = (...args: string[]) => runCox([...args, '--state-dir', farDir], far.within)
const tryKubectl = (...args: string[]) => runTool('kubectl', path.join(farDir, 'kubeconfig'), args, {}, far.within)
async function kubectl(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await tryKubectl(...args)
  expect(code, `${stdout}\n${stderr}`).toBe(0)
  return stdout
}
/** The token's id: the first six of its characters. */
const tokenId = (): string => joinArgs[joinArgs.indexOf('--token') + 1]!.slice(0, 6)
/** What the API server of a machine, whose state directory is `dir`, says to who has nothing but a token. */
async function ask(machine: Machine, dir: string, token: string, url: string): Promise<string> {
  // Another cluster may have the usual port.
  const { securePort } = JSON.parse(await readFile(path.join(dir, 'cluster.json'), 'utf8')) as { securePort: number }
  return (await machine.run('curl', '-sSk', '-m', '5', '-H', `authorization: Bearer ${token}`, `https://127.0.0.1:${securePort}${url}`))
    .stdout
}
const kill = (row: ProcessRow): void => void process.kill(row.pid, 'SIGKILL')

beforeAll(async () => {
  machines = await startMachines([1, 1])
  ;[home, far] = machines.all as [Machine, Machine]
  await machines.firewall(`    ct state established,related accept
    ip daddr ${home.address} tcp dport 4222 accept
    ip daddr ${far.address} tcp dport 6443 accept
    drop`)
  farDir = await mkdtemp(path.join(tmpdir(), 'cox-far-'))
  cluster = await startCluster({ nodes: 1, within: home.within, flags: ['--listen', home.address, '--encrypt-secrets'] })
  const printed = await cluster.cox('token', 'create', '--control-plane')
  expect(printed.stdout, printed.stderr).toMatch(/^cox up --join nats:\/\/10\.77\.1\.10:4222 --token .* --certificate-key [0-9a-f]{64}$/)
  joinArgs = printed.stdout.trim().split(' ').slice(1)
}, 180_000)
afterAll(async () => {
  if (farDir !== '') await cox('down')
  await cluster?.stop()
  await machines?.stop()
  if (farDir !== '') await rm(farDir, { recursive: true, force: true })
}, 120_000)

describe('a machine that is added to the control plane', () => {
  test('needs the key that came with its token, and the token', async () => {
    const other = joinArgs.with(-1, '0'.repeat(64))
    expect((await cox(...other)).stderr).toContain('the certificate key does not open')
    // A token for nodes opens nothing, and what is stored shows nothing.
    const node = (await cluster.cox('token', 'create')).stdout.trim()
    const secret = `/api/v1/namespaces/kube-system/secrets/coxswain-control-plane-${tokenId()}`
    expect(await ask(home, cluster.dir, node, secret)).toContain(`User \\"system:bootstrap:${node.slice(0, 6)}\\" cannot get`)
    const stored = await cluster.kubectl('get', 'secret', '-n', 'kube-system', `coxswain-control-plane-${tokenId()}`, '-o', 'jsonpath={.data.bundle}') // prettier-ignore
    expect(Buffer.from(stored, 'base64').toString('latin1')).not.toContain('PRIVATE KEY')
  }, 60_000)

  test('serves kubectl, the same objects, Secrets and tokens too', async () => {
    const joined = await cox(...joinArgs, '--detach')
    expect(joined.code, joined.stdout + joined.stderr).toBe(0)
    expect(joined.stdout).toContain('This machine is of the control plane')
    expect(await kubectl('get', 'nodes', '-o', 'name')).toBe('node/node-1')
    await kubectl('create', 'secret', 'generic', 's', '--from-literal=a=b')
    expect(await cluster.kubectl('get', 'secret', 's', '-o', 'jsonpath={.data.a}')).toBe('Yg==')
    const token = (await cluster.kubectl('create', 'token', 'default')).trim()
    expect(await ask(far, farDir, token, '/api/v1/pods')).toContain('User \\"system:serviceaccount:default:default\\" cannot list')
    await eventually(async () => {
      const ips = await kubectl('get', 'endpointslices', '-l', 'kubernetes.io/service-name=kubernetes', '-o', 'jsonpath={.items[*].endpoints[*].addresses[0]}') // prettier-ignore
      return ips.split(' ').includes(far.address) && ips.split(' ').length === 2
    }, 'both are behind the Service')
  }, 120_000)

  test('refuses what is for the first machine', async () => {
    expect((await cox('node', 'add')).stderr).toContain('of the control plane alone')
    expect((await cox('token', 'create', '--control-plane')).stderr).toContain("on the cluster's first machine")
  }, 60_000)

  test("goes on when the first one's control plane is killed: kubectl, controllers, scheduler; and the first one comes back", async () => {
    const rows = await cluster.ps()
    rows.filter(r => r.component === 'cox').forEach(kill)
    rows.filter(r => /^(kube-|cloud-)/.test(r.component)).forEach(kill)
    await kubectl('create', 'deployment', 'web', '--image=registry.k8s.io/echoserver:1.10', '--replicas=2')
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=60s')
    expect((await cluster.tryKubectl('get', 'nodes', '--request-timeout=5s')).code).not.toBe(0)
    // Nodes join by what any machine of the control plane prints.
    const printed = await cox('token', 'create', '--print-join-command')
    const joined = await cox(...printed.stdout.trim().split(' ').slice(1), '--name', 'far')
    expect(joined.stdout + joined.stderr).toContain('node far is Ready')
    expect((await cox('node', 'leave')).code).toBe(0)
    await kubectl('delete', 'node', 'far')
    const leaders = ['cloud-controller-manager', 'kube-controller-manager', 'kube-scheduler']
    await eventually(async () => {
      const rows = JSON.parse((await cox('ps', '-o', 'json')).stdout) as ProcessRow[]
      return rows.flatMap(r => (r.leader ? [r.component] : [])).sort().join() === leaders.join() // prettier-ignore
    }, 'all lead there')
    await kubectl('expose', 'deployment', 'web', '--name=balanced', '--port=80', '--target-port=8080', '--type=LoadBalancer')
    const balanced = ['get', 'service', 'balanced', '-o', 'jsonpath={.status.loadBalancer.ingress[0].ip}']
    const address = await eventually(() => kubectl(...balanced), 'an address')
    // What pods ask the API goes to the one that lives.
    const pod = (await kubectl('get', 'pods', '-l', 'app=web', '-o', 'name')).split('\n')[0]!
    const account = '/var/run/secrets/kubernetes.io/serviceaccount'
    const version = `curl -sS -m 5 --cacert ${account}/ca.crt https://kubernetes.default/version`
    await eventually(async () => (await kubectl('exec', pod, '--', 'sh', '-c', version)).includes('"major": "1"'), 'kubernetes.default')
    await cluster.up()
    expect(await cluster.kubectl('get', 'deployment', 'web', '-o', 'jsonpath={.status.readyReplicas}')).toBe('2')
    // The machine whose nodes and addresses they are has its own cloud controller manager lead, which announces what was given meanwhile.
    const ofCloud = (r: ProcessRow): boolean => r.component === 'cloud-controller-manager' && r.leader === true
    await eventually(async () => (await cluster.ps()).some(ofCloud), 'the first machine’s leads')
    // A deputy that gives the lease back has not failed.
    expect(await readFile(path.join(farDir, 'logs/cox.log'), 'utf8')).toMatch(/cloud-controller-manager +exited with code 0/)
    expect(await cluster.kubectl(...balanced)).toBe(address)
    await eventually(async () => (await home.run('curl', '-sS', '-m', '2', `http://${address}/`)).stdout.includes('Hostname: web-'), 'it answers') // prettier-ignore
    expect(await cluster.kubectl('get', 'nodes', '-o', 'name')).toBe('node/node-1')
  }, 180_000)

  test('whose token is revoked is cut off at once; the Secret with its keys is gone', async () => {
    const revoked = await cluster.cox('token', 'revoke', tokenId())
    expect(revoked.stdout, revoked.stderr).toContain('the machine that has it is cut off')
    await eventually(async () => (await tryKubectl('get', 'nodes', '--request-timeout=5s')).code !== 0, 'no answers there')
    await eventually(
      async () => (await cluster.tryKubectl('get', 'secret,role,rolebinding', '-n', 'kube-system', `coxswain-control-plane-${tokenId()}`)).stdout === '', // prettier-ignore
      'the Secret is gone',
    )
    // Here everything goes on, after a restart as well.
    await cluster.down()
    await cluster.up()
    await cluster.kubectl('scale', 'deployment/web', '--replicas=3')
    await cluster.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s')
    expect((await tryKubectl('get', 'nodes', '--request-timeout=5s')).code).not.toBe(0)
    expect((await cox('down')).code).toBe(0)
    expect((await far.run('sh', '-c', 'ip -o link | grep -v " lo:\\| eth0@"; nft list tables')).stdout.trim()).toBe('')
  }, 180_000)
})
