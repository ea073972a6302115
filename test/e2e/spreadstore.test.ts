/** Three machines of the control plane, each with one of three nats-servers: any of them may go, with all that runs on it. */
import { readlinkSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ProcessRow } from '#control-plane/cli/ps.ts'
import { eventually, runCox, startCluster, type ClusterFixture } from '../fixtures/cluster.ts'
import { runTool } from '../fixtures/kubectl.ts'
import { startMachines, type Machine, type Machines } from '../fixtures/machines.ts'
import { replicatingNatsServer } from '../fixtures/nats.ts'
import type { Written } from '../fixtures/storewriter.ts'

interface Member {
  machine: Machine
  dir: string
  /** The id of the token that it came by. */
  token?: string
}
let machines: Machines
let cluster: ClusterFixture
const members: Member[] = []
/** A machine that is a node, and joined before nats-servers moved. */
let leaf: Member

const cox = ({ machine, dir }: Member, ...args: string[]) => runCox([...args, '--state-dir', dir], machine.within)
async function kubectl({ machine, dir }: Member, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runTool('kubectl', path.join(dir, 'kubeconfig'), args, {}, machine.within)
  expect(code, `${stdout}\n${stderr}`).toBe(0)
  return stdout
}
const processesOf = async (member: Member): Promise<ProcessRow[]> =>
  JSON.parse((await cox(member, 'ps', '-o', 'json')).stdout) as ProcessRow[]
async function natsServersOf(member: Member): Promise<string[]> {
  const rows = await processesOf(member)
  return rows.filter(r => r.component === 'nats-server').map(r => r.name ?? r.component).sort() // prettier-ignore
}
const up = async (member: Member, ...args: string[]): Promise<void> => {
  const { code, stdout, stderr } = await cox(member, 'up', '--detach', ...args)
  expect(code, stdout + stderr).toBe(0)
}
const tokenId = (joinCommand: string): string => /--token (\w{6})\./.exec(joinCommand)![1]!
const settled = async (): Promise<number> =>
  (await kubectl(members[0]!, 'get', 'configmap', '-n', 'kube-system', 'coxswain-nats-servers', '-o', 'jsonpath={.data}')).split('running').length - 1 // prettier-ignore
/** Everything on it at once, as when its power is cut. */
async function kill({ machine }: Member): Promise<void> {
  const { stdout } = await execa('ip', ['netns', 'pids', machine.name])
  for (const pid of stdout.split('\n').filter(Boolean)) process.kill(Number(pid), 'SIGKILL')
}

const writers = 10
const writer = path.resolve(import.meta.dirname, '../fixtures/storewriter.ts')
/** Writes through a machine's API server until `stop`, which resolves with all that was acknowledged. */
function writing({ machine, dir }: Member, prefix: string) {
  const [first = '', ...rest] = machine.within
  const child = execa(first, [...rest, process.execPath, writer, dir, String(writers), prefix], { reject: false, buffer: false })
  let written: Written = { total: 0, longestMs: 0, acknowledged: {} }
  const reading = (async () => {
    for await (const line of child) written = JSON.parse(line) as Written
  })()
  return {
    so: () => written,
    /** More is written than so far. */
    goesOn(what: string): Promise<boolean> {
      const { total } = written
      return eventually(() => written.total > total + 5 * writers, what)
    },
    async stop(): Promise<Written> {
      child.kill('SIGTERM')
      await reading
      return written
    },
  }
}
/** What was acknowledged is what every machine reads. */
async function compare({ acknowledged }: Written): Promise<void> {
  expect(Object.keys(acknowledged)).toHaveLength(writers)
  for (const member of members) {
    const { items } = JSON.parse(await kubectl(member, 'get', 'configmaps', '-o', 'json')) as { items: { metadata: { name: string }; data: { n: string } }[] } // prettier-ignore
    const found = new Map(items.map(i => [i.metadata.name, Number(i.data.n)]))
    for (const [name, n] of Object.entries(acknowledged)) expect(found.get(name), `${name} on ${member.dir}`).toBeGreaterThanOrEqual(n)
  }
}

beforeAll(async () => {
  process.env['NATS_SERVER'] = replicatingNatsServer()
  machines = await startMachines([1, 1, 1, 1])
  // What they say to each other is by TLS, and by these ports alone.
  const addresses = machines.all.map(m => m.address).join(', ')
  await machines.firewall(`    ct state established,related accept
    ip daddr { ${addresses} } tcp dport { 4222-4224, 6222-6224, 6443 } accept
    udp dport 8472 accept
    drop`)
  const [home] = machines.all as [Machine, ...Machine[]]
  cluster = await startCluster({ nodes: 1, within: home.within, flags: ['--listen', home.address, '--nats-servers', '3'] })
  members.push({ machine: home, dir: cluster.dir })
  leaf = { machine: machines.all[3]!, dir: await mkdtemp(path.join(tmpdir(), 'cox-leaf-')) }
  const printed = await cluster.cox('token', 'create', '--print-join-command')
  const joined = await cox(leaf, ...printed.stdout.trim().split(' ').slice(1), '--name', 'leaf')
  expect(joined.stdout + joined.stderr).toContain('node leaf is Ready')
}, 240_000)
afterAll(async () => {
  if (leaf) await cox(leaf, 'node', 'leave')
  for (const member of members.slice(1)) await cox(member, 'down')
  await cluster?.stop()
  await machines?.stop()
  for (const { dir } of [...members.slice(1), ...(leaf ? [leaf] : [])]) await rm(dir, { recursive: true, force: true })
}, 180_000)

test('machines that join take over a nats-server each, while writes go on', async () => {
  const [home] = members as [Member]
  expect(await natsServersOf(home)).toEqual(['nats-server', 'nats-server-2', 'nats-server-3'])
  const written = writing(home, 'joining')
  for (const machine of machines.all.slice(1, 3)) {
    const member = { machine, dir: await mkdtemp(path.join(tmpdir(), 'cox-far-')) }
    const printed = await cluster.cox('token', 'create', '--control-plane')
    expect(printed.stdout, printed.stderr).toContain('cox up --join')
    members.push({ ...member, token: tokenId(printed.stdout) })
    await up(member, ...printed.stdout.trim().split(' ').slice(2))
    const mine = `nats-server-${members.length}`
    await eventually(async () => (await natsServersOf(member)).join() === mine, `${mine} is there`, 120_000)
    await eventually(async () => (await settled()) === members.length - 1, `${mine} has caught up`, 120_000)
  }
  expect(await natsServersOf(home)).toEqual(['nats-server'])
  await written.goesOn('writes')
  await compare(await written.stop())
}, 400_000)

test.each([0, 1, 2])(
  'machine %i dies with all that is on it: writes go on, none is lost, it comes back',
  async dead => {
    const other = members[(dead + 1) % 3]!
    const alive = members.filter((_, i) => i !== dead)
    const written = writing(other, `without-${dead}`)
    await written.goesOn('writes')
    await kill(members[dead]!)
    await written.goesOn('writes without it')
    if (process.env['SPREAD_FIGURES']) console.log(`machine ${dead}: no write for ${Math.round(written.so().longestMs)} ms`)
    // The machines have one host name, and yet each knows what leads there.
    await eventually(async () => {
      const leaders = (await Promise.all(alive.map(processesOf))).flat().filter(r => r.leader)
      return leaders.map(r => r.component).sort().join() === 'cloud-controller-manager,kube-controller-manager,kube-scheduler' // prettier-ignore
    }, 'one of each leads')
    // What is started anew finds those that live.
    process.kill((await processesOf(other)).find(r => r.component === 'kube-apiserver')!.pid, 'SIGKILL')
    await written.goesOn('writes by way of a new API server')
    // A node-agent as well.
    const { stdout } = await execa('pgrep', ['-f', `node-agent.js .*${leaf.dir}`])
    // Those that keep it alive have its command line, too.
    const [agent] = stdout.split('\n').filter(pid => readlinkSync(`/proc/${pid}/exe`).endsWith('/node'))
    process.kill(Number(agent), 'SIGKILL')
    const renewed = (): Promise<string> =>
      kubectl(other, 'get', 'lease', '-n', 'kube-node-lease', 'leaf', '-o', 'jsonpath={.spec.renewTime}')
    const before = await renewed()
    await eventually(async () => (await renewed()) > before, 'a lease is renewed')
    await (dead === 0 ? cluster.up() : up(members[dead]!))
    await written.goesOn('writes with all three')
    await compare(await written.stop())
  },
  300_000,
)

test('the first machine has its cloud controller manager lead, and its node, whatever led meanwhile', async () => {
  const [home] = members as [Member]
  await eventually(async () => (await processesOf(home)).some(r => r.component === 'cloud-controller-manager' && r.leader), 'it leads')
  expect((await kubectl(home, 'get', 'nodes', '-o', 'name')).split('\n').sort().join(' ').trim()).toBe('node/leaf node/node-1')
})

test('a machine whose token is revoked leaves its nats-server while writes go on; with another token it has one again', async () => {
  const [home, , former] = members as [Member, Member, Member]
  const written = writing(home, 'revoked')
  await written.goesOn('writes')
  // The token itself has ended long before.
  await kubectl(home, 'delete', 'secret', '-n', 'kube-system', `bootstrap-token-${former.token}`)
  const revoked = await cluster.cox('token', 'revoke', former.token!)
  expect(revoked.stdout, revoked.stderr).toContain('nats-server-3 runs there no more')
  expect(await natsServersOf(former)).toEqual([])
  await written.goesOn('writes without it')
  expect((await cox(former, 'down')).code).toBe(0)
  await rm(former.dir, { recursive: true, force: true })

  const again: Member = { machine: former.machine, dir: await mkdtemp(path.join(tmpdir(), 'cox-far-')) }
  members[2] = again
  const printed = await cluster.cox('token', 'create', '--control-plane')
  await up(again, ...printed.stdout.trim().split(' ').slice(2))
  await eventually(async () => (await natsServersOf(again)).join() === 'nats-server-3', 'it has the same one', 120_000)
  await eventually(async () => (await settled()) === 2, 'it has caught up', 120_000)
  await written.goesOn('writes with all three')
  await compare(await written.stop())
}, 400_000)
