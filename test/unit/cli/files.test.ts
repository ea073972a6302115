/** What cox keeps in the state directory: certificates, cluster.json, locks, records of processes. */
import { X509Certificate, createPrivateKey } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { spawn } from 'node:child_process'
import { parse } from 'yaml'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { isPrivileged } from '#control-plane/cli/system.ts'
import { localNatsUrl, natsUrl } from '#control-plane/cli/components.ts'
import { ensureCreds, movedNatsConfig, natsConfig, writeNatsFiles } from '#control-plane/cli/files.ts'
import { withLock } from '#control-plane/cli/lock.ts'
import { identityOf } from '#shared/bus/credentials.ts'
import { newNode, prepareCluster } from '#control-plane/cli/local-cluster.ts'
import { authorityCertificate, ensureCertificates, kubeconfig, newLogin } from '#control-plane/cli/pki.ts'
import { isAlive, readRecord, terminate, writeRecord } from '#control-plane/cli/process.ts'
import {
  addresses,
  addressesOf,
  firstService,
  makeStateDir,
  readCluster,
  stateDir,
  writeCluster,
  type StateDir,
} from '#control-plane/cli/state.ts'

const single = { 'kube-apiserver': 1, 'kube-controller-manager': 1, 'kube-scheduler': 1 }
let dir: StateDir
beforeEach(() => {
  dir = stateDir(mkdtempSync(path.join(tmpdir(), 'cox-files-')))
  makeStateDir(dir)
})
afterEach(() => rmSync(dir.root, { recursive: true, force: true }))

describe('certificates', () => {
  test('are signed by one authority, name their owner and serve these addresses', async () => {
    const { ca, admin } = ensureCertificates(dir, ['127.0.0.1', '10.128.255.1', 'fd00::1'])
    const authority = new X509Certificate(ca.cert)
    const server = new X509Certificate(readFileSync(path.join(dir.pki, 'apiserver.crt')))
    const client = new X509Certificate(admin.cert)
    for (const cert of [server, client]) expect([cert.verify(authority.publicKey), cert.checkIssued(authority)]).toEqual([true, true])
    expect([authority.ca, server.ca, client.ca]).toEqual([true, false, false])
    expect([server.keyUsage, client.keyUsage]).toEqual([['1.3.6.1.5.5.7.3.1'], ['1.3.6.1.5.5.7.3.2']])
    expect(client.subject).toBe('O=system:masters\nCN=kubernetes-admin')
    expect(client.checkPrivateKey(createPrivateKey(admin.key))).toBe(true)
    expect(server.checkIP('10.128.255.1')).toBe('10.128.255.1')
    expect(server.checkIP('fd00::1')).toBe('fd00::1')
    expect(server.checkIP('10.129.255.1')).toBeUndefined()
    expect(server.checkHost('kubernetes.default.svc')).toBeTruthy()
  })
  test('stay the same, until the addresses change', async () => {
    const first = ensureCertificates(dir, ['127.0.0.1'])
    const server = (): string => readFileSync(path.join(dir.pki, 'apiserver.crt'), 'utf8')
    const before = server()
    expect(ensureCertificates(dir, ['127.0.0.1'])).toEqual(first)
    expect(server()).toBe(before)
    expect(ensureCertificates(dir, ['127.0.0.1', '10.1.2.3'])).toEqual(first)
    expect(server()).not.toBe(before)
  })
})

test('front proxies have an authority of their own, which vouches for no user', () => {
  const { ca } = ensureCertificates(dir, ['127.0.0.1'])
  const certificate = (name: string) => new X509Certificate(readFileSync(path.join(dir.pki, `${name}.crt`)))
  const proxy = certificate('front-proxy-client')
  expect(proxy.subject).toBe('CN=front-proxy-client')
  expect(proxy.verify(certificate('front-proxy-ca').publicKey)).toBe(true)
  expect(proxy.verify(new X509Certificate(ca.cert).publicKey)).toBe(false)
  const before = proxy.serialNumber
  ensureCertificates(dir, ['127.0.0.1'])
  expect(certificate('front-proxy-client').serialNumber).toBe(before)
})

test('a kubeconfig of somebody else has a certificate with its name and groups, whatever they are called', async () => {
  const { ca } = ensureCertificates(dir, ['127.0.0.1'])
  const name = 'jane: "x"'
  const text = kubeconfig(6443, authorityCertificate(dir), newLogin(dir, name, ['dev', 'ops'], 'default'))
  const { users, contexts, clusters } = parse(text)
  expect(contexts[0]).toEqual({ name: 'coxswain', context: { cluster: 'coxswain', user: name, namespace: 'default' } })
  const pem = (base64: string): string => Buffer.from(base64, 'base64').toString()
  const cert = new X509Certificate(pem(users[0].user['client-certificate-data']))
  expect([users[0].name, { ...cert.toLegacyObject().subject }]).toEqual([name, { CN: name, O: ['dev', 'ops'] }])
  expect(cert.checkPrivateKey(createPrivateKey(pem(users[0].user['client-key-data'])))).toBe(true)
  expect(cert.verify(new X509Certificate(ca.cert).publicKey)).toBe(true)
  expect(clusters[0].cluster).toMatchObject({ server: 'https://127.0.0.1:6443' })
  expect(pem(clusters[0].cluster['certificate-authority-data'])).toBe(ca.cert)
})

describe('files that are damaged or missing', () => {
  const names = ['registry', 'system:kube-scheduler', 'system:node:node-1']
  const creds = (name: string): string => path.join(dir.creds, `${name}.creds`)
  const authority = (): string => path.join(dir.nats, 'authority.json')
  test('credentials are made again, those that are good stay', async () => {
    await ensureCreds(dir, names)
    const before = names.map(name => readFileSync(creds(name), 'utf8'))
    writeFileSync(creds('registry'), before[0]!.slice(0, 200))
    writeFileSync(creds('system:kube-scheduler'), before[2]!)
    await ensureCreds(dir, names)
    const after = names.map(name => readFileSync(creds(name), 'utf8'))
    expect(after[2]).toBe(before[2])
    const identities = await Promise.all(after.map(text => identityOf(text)))
    expect(identities).toEqual(names)
  })
  test('credentials of another authority are made again', async () => {
    await ensureCreds(dir, names)
    const before = readFileSync(creds('registry'), 'utf8')
    rmSync(authority())
    await ensureCreds(dir, names)
    expect(readFileSync(creds('registry'), 'utf8')).not.toBe(before)
  })
  test('an authority whose registry is there must not be lost', async () => {
    await ensureCreds(dir, names)
    mkdirSync(path.join(dir.nats, 'store'))
    writeFileSync(authority(), '{"operator": "x"}')
    await expect(ensureCreds(dir, names)).rejects.toThrow(`${authority()} is damaged; restore it, or remove ${dir.root} to start afresh`)
    rmSync(authority())
    await expect(ensureCreds(dir, names)).rejects.toThrow(`${authority()} is missing; restore it`)
  })
  test('certificates are made again, but for the authority', async () => {
    const pki = (name: string): string => path.join(dir.pki, name)
    const { admin } = ensureCertificates(dir, [])
    const sa = readFileSync(pki('sa.pub'), 'utf8')
    writeFileSync(pki('admin.crt'), 'x')
    writeFileSync(pki('apiserver.key'), admin.key)
    writeFileSync(pki('sa.pub'), '')
    const again = ensureCertificates(dir, [])
    expect(again.admin).not.toEqual(admin)
    expect(readFileSync(pki('sa.pub'), 'utf8')).toBe(sa)
    const server = new X509Certificate(readFileSync(pki('apiserver.crt')))
    expect(server.checkPrivateKey(createPrivateKey(readFileSync(pki('apiserver.key'))))).toBe(true)
    const key = readFileSync(pki('ca.key'), 'utf8')
    writeFileSync(pki('ca.key'), 'x')
    expect(() => ensureCertificates(dir, [])).toThrow('is damaged; restore it')
    rmSync(pki('ca.key'))
    expect(() => ensureCertificates(dir, [])).toThrow(`${pki('ca.key')} is missing; restore it`)
    writeFileSync(pki('ca.key'), key)
    writeFileSync(pki('sa.key'), 'x')
    expect(() => ensureCertificates(dir, [])).toThrow(`${pki('sa.key')} is damaged`)
    for (const name of ['ca.key', 'ca.crt', 'sa.key']) rmSync(pki(name))
    // By another authority, everything that it signs is another.
    expect(ensureCertificates(dir, []).admin).not.toEqual(again.admin)
  })
  test.runIf(process.platform === 'linux')('a state directory where nothing can be made', () => {
    expect(() => makeStateDir(stateDir('/proc'))).toThrow('the state directory cannot be made: ENOENT')
    expect(() => makeStateDir(stateDir('/proc/a/b'))).toThrow('the state directory cannot be made: ENOENT')
    writeFileSync(path.join(dir.root, 'file'), '')
    expect(() => makeStateDir(stateDir(path.join(dir.root, 'file')))).toThrow('is in the way: it is not a directory')
  })
})

describe('cluster.json', () => {
  test('is read as it was written, is nothing at first, and is refused when it is damaged', () => {
    expect(readCluster(dir)).toBeUndefined()
    const cluster = { index: 3, securePort: 6443, instances: single, nodes: [{ name: 'node-1', index: 1, starts: 2 }] }
    writeCluster(dir, cluster)
    expect(readCluster(dir)).toEqual(cluster)
    // As it was written before there could be several of a component.
    writeFileSync(dir.cluster, '{"index": 3, "securePort": 6443, "nodes": []}')
    expect(readCluster(dir)?.instances).toEqual(single)
    writeFileSync(dir.cluster, '{"index": "three"}')
    expect(() => readCluster(dir)).toThrow(/cluster\.json is damaged/)
  })
  test('new nodes take the lowest free place, and never a name or an index twice', () => {
    const cluster = { index: 0, securePort: 1, instances: single, nodes: [{ name: 'node-2', index: 1, starts: 1 }] }
    for (let i = 0; i < 126; i++) cluster.nodes.push(newNode(cluster, i % 2 ? undefined : `extra-${i}`))
    expect(new Set(cluster.nodes.map(n => n.name)).size).toBe(127)
    expect(new Set(cluster.nodes.map(n => n.index)).size).toBe(127)
    expect(() => newNode(cluster)).toThrow('at most 127 nodes')
  })
  test('clusters that start at the same time share neither number nor port', async () => {
    const dirs = Array.from({ length: 4 }, (_, i) => stateDir(path.join(dir.root, `cluster-${i}`)))
    for (const d of dirs) {
      makeStateDir(d)
      writeRecord(d, 'cox', process.pid)
    }
    const clusters = await Promise.all(dirs.map(d => prepareCluster(d, {})))
    expect(new Set(clusters.map(c => c.index)).size).toBe(4)
    expect(new Set(clusters.map(c => c.securePort)).size).toBe(4)
    // Another start keeps them.
    expect((await prepareCluster(dirs[1]!, {})).securePort).toBe(clusters[1]!.securePort)
  })
  test.runIf(isPrivileged())(
    'three nats-servers are chosen once: each has a port, a name and a store of its own, and the routes of the others',
    async () => {
      const three = await prepareCluster(dir, { natsServers: 3, network: 'bridge' })
      const at = addressesOf(three)
      expect(natsUrl(at)).toBe([4222, 4223, 4224].map(port => `nats://${at.host}:${port}`).join(','))
      await expect(prepareCluster(dir, { natsServers: 1 })).rejects.toThrow('was made with 3 nats-servers')
      expect((await prepareCluster(dir, {})).natsServers).toBe(3)
      await writeNatsFiles(dir, { listen: at.host, port: 4222, storeDir: '/s', sync: 'server', servers: 3 }, [])
      const confs = [1, 2, 3].map(n => readFileSync(natsConfig(dir, n), 'utf8'))
      for (const [i, conf] of confs.entries()) {
        expect(conf).toContain(`server_name: "nats-${i}"`)
        expect(conf).toContain(`store_dir: "/s${i === 0 ? '' : `-${i + 1}`}/jetstream"`)
        expect([...conf.matchAll(/@10\.\d+\.255\.1:(\d+)/g)].map(m => Number(m[1]))).toEqual([6222, 6223, 6224].filter(p => p !== 6222 + i))
      }
      await writeNatsFiles(dir, { listen: at.host, port: 4222, storeDir: '/s', sync: 'server' }, [])
      expect(readFileSync(natsConfig(dir), 'utf8')).not.toContain('cluster {')
    },
  )
  test('a nats-server that another machine has taken over is looked for there, and knows the others, by certificates', async () => {
    const listen = { address: '192.0.2.1', port: 4222 }
    const at = addressesOf({ index: 1, natsServers: 3, listen, natsAt: { '2': '192.0.2.2', '3': '192.0.2.3' } })
    expect(natsUrl(at)).toBe('nats://10.129.255.1:4222,nats://192.0.2.2:4222,nats://192.0.2.3:4222')
    expect(localNatsUrl(at)).toBe('nats://10.129.255.1:4222')
    const { servers, elsewhere } = at.nats
    const files = {
      listen: at.nats.host,
      port: 4222,
      storeDir: '/s',
      sync: 'server',
      remote: true,
      servers,
      elsewhere,
      outside: listen,
    } as const
    await writeNatsFiles(dir, files, [])
    const routesOf = (conf: string): string[] => [...conf.matchAll(/@([\d.]+:\d+)/g)].map(m => m[1]!)
    const first = readFileSync(natsConfig(dir), 'utf8')
    expect(routesOf(first)).toEqual(['192.0.2.2:6222', '192.0.2.3:6222'])
    for (const told of ['client_advertise: "192.0.2.1:4222"', 'cluster_advertise: "192.0.2.1:6222"', `ca_file: "${dir.pki}/ca.crt"`])
      expect(first).toContain(told)
    const cert = new X509Certificate(readFileSync(path.join(dir.pki, 'nats-server.crt')))
    expect(cert.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
    expect([at.nats.host, '192.0.2.1'].map(ip => cert.checkIP(ip))).not.toContain(undefined)
    const third = await movedNatsConfig(dir, at, 3, '192.0.2.3')
    expect(routesOf(third)).toEqual(['192.0.2.1:6222', '192.0.2.2:6222'])
    for (const told of ['listen: "192.0.2.3:4222"', 'server_name: "nats-2"', 'store_dir: "nats/store/jetstream"'])
      expect(third).toContain(told)
  })
  test('clusters share no address', () => {
    const all = Array.from({ length: 100 }, (_, i) => addresses(i))
    expect(new Set(all.map(a => a.all)).size).toBe(100)
    expect(addresses(2).nodeIP(127)).toBe('10.130.255.137')
    expect(addresses(2).podCIDR(127)).toBe('10.130.127.0/24')
    const onHost = addressesOf({ index: 99, host: { address: '192.0.2.5', natsPort: 4333 } })
    expect([onHost.services, firstService(onHost), onHost.nodeIP(1), onHost.nats]).toEqual([
      '127.131.0.0/16',
      '127.131.0.1',
      '192.0.2.5',
      { host: '127.0.0.1', port: 4333, servers: 1 },
    ])
  })
})

describe('locks', () => {
  test('let one in at a time', async () => {
    let inside = 0
    let most = 0
    const enter = () =>
      withLock(path.join(dir.root, 'lock'), async () => {
        most = Math.max(most, ++inside)
        await new Promise(resolve => setImmediate(resolve))
        inside--
      })
    await Promise.all(Array.from({ length: 10 }, enter))
    expect(most).toBe(1)
  })
  test('of a dead process are taken over, and a failure frees them', async () => {
    const file = path.join(dir.root, 'lock')
    const child = spawn('true')
    await new Promise(resolve => child.once('exit', resolve))
    writeFileSync(file, String(child.pid))
    await expect(withLock(file, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(await withLock(file, async () => 'yes')).toBe('yes')
  })
})

describe('process records', () => {
  test('tell a process from another that got its pid', async () => {
    const child = spawn('sleep', ['100'])
    const record = writeRecord(dir, 'sleeper', child.pid ?? 0)
    expect(isAlive(readRecord(dir, 'sleeper'))).toBe(true)
    expect(isAlive({ ...record, startTime: record.startTime - 1 })).toBe(false)
    await terminate(record, 5000)
    expect(isAlive(record)).toBe(false)
    expect(isAlive(readRecord(dir, 'nobody'))).toBe(false)
  })
})
