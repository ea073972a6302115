import assert from 'node:assert/strict'
import { readdirSync, readFileSync, mkdirSync, statSync, writeFileSync, chownSync, chmodSync } from 'node:fs'
import { join } from 'node:path'
import { listMounts } from '#shared/linux/mount.ts'
import { holdNamespaces, mapIds, pinNamespace } from '#shared/linux/namespaces.ts'
import { openBridgeNetwork } from '#node-agent/network/bridge.ts'
import type { PodNetwork } from '#node-agent/network/network.ts'
import type { ContainerSpec } from '#node-agent/runtime/runtime.ts'
import type { Scenario } from '../../fixtures/in-node.ts'
import { containerSpec, directoryOf, exec, node, openRuntime, outputOf } from './containers.ts'

const runtime = node.directory ? await openRuntime() : (undefined as never)
const users = { path: join(node.directory, 'user'), first: 65_536 * 7, size: 65_536 }
let network: PodNetwork
let shared: Partial<ContainerSpec>

async function run(id: string, script: string, more: Partial<ContainerSpec> = {}): Promise<string> {
  await runtime.start(containerSpec(id, ['sh', '-c', `exec 2>&1; ${script}`], { ...shared, ...more }))
  await runtime.wait(directoryOf(id), AbortSignal.timeout(20_000))
  return outputOf(id)
}

export const scenario: Scenario = {
  async 'a user namespace stays without a process, and a network belongs to it'() {
    writeFileSync(users.path, '')
    const holder = await holdNamespaces(['unshare', '--user'])
    await mapIds(holder.pid, users)
    await pinNamespace(holder.pid, 'user', users.path)
    await holder.release()
    network = await openBridgeNetwork({
      podCIDR: '10.9.1.0/24',
      clusterCIDR: '10.9.0.0/16',
      serviceCIDR: '10.9.128.0/18',
      nodeIP: '10.9.255.2',
    })
    const of = (uid: string, more = {}) =>
      network.setUp({ uid, namespace: 'default', name: uid, hostPorts: [], sysctls: { 'net.core.somaxconn': '777' }, ...more })
    const [own, plain] = await Promise.all([of('own', { userNamespace: users.path }), of('plain')])
    assert.deepEqual(await of('own', { userNamespace: users.path }), own)
    assert.notEqual(own.ip, plain.ip)
    shared = { networkNamespace: own.namespacePath, userNamespace: users, seccomp: { type: 'RuntimeDefault' } }
    assert.equal(runtime.handlers.get('')?.userNamespaces, true)
  },

  async 'root in it is nobody outside; its files look like its own'() {
    const volume = join(node.directory, 'volume')
    mkdirSync(volume)
    writeFileSync(join(volume, 'of-root'), '')
    writeFileSync(join(volume, 'of-group'), '')
    chownSync(join(volume, 'of-group'), 1000, 2000)
    chmodSync(volume, 0o755)
    const script = `cat /proc/self/uid_map; id -u; ls -ln /v /usr/bin/id | awk '{print $3,$4,$NF}'; stat -c %u / /etc/passwd /usr/bin; touch /v/new /made /usr/made && echo written
      su -s /bin/sh nobody -c 'id -u; touch /made-too || true'; cat /proc/sys/net/core/somaxconn; ls /sys/class/net | tr '\\n' ' '; hostname; mount | grep -c ' on /sys '`
    const mounts = [{ destination: '/v', source: volume, readOnly: false, propagation: 'private' as const }]
    const output = await run('maps', script, { mounts })
    assert.match(output, /^\s*0\s+458752\s+65536\n0\n/)
    assert.match(output, /^0 0 \/usr\/bin\/id$/m)
    assert.match(output, /^1000 2000 of-group\n0 0 of-root\n/m)
    assert.match(output, /\n0\n0\n0\nwritten\n65534\n/)
    assert.match(output, /^777\neth0 lo \n?pod$/m)
    // On disk the volume's files belong to whom the container sees, what is written to its own root to nobody that the node knows.
    assert.equal(statSync(join(volume, 'new')).uid, 0)
    assert.equal(statSync(join(directoryOf('maps'), 'upper/root/made')).uid, users.first)
    await runtime.start(containerSpec('sleeps', ['sleep', '1000'], shared))
    const { pid } = (await runtime.status(directoryOf('sleeps')))!
    assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), new RegExp(`^Uid:\\s+${users.first}\\s`, 'm'))
    assert.deepEqual(await exec(runtime, 'sleeps', ['sh', '-c', 'id -u; cat /proc/self/uid_map | wc -l']), {
      code: 0,
      out: '0\n1\n',
      err: '',
    })
  },

  async 'its capabilities are for what is its own'() {
    const perl = `perl -MSocket -e 'socket(S, AF_INET, SOCK_STREAM, 0); bind(S, sockaddr_in(80, INADDR_ANY)) and print "port\\n"'`
    const output = await run(
      'caps',
      `mount -t tmpfs t /mnt && echo mounted; ip link set lo down && echo link; chown 5:5 /tmp && echo chown; ${perl}; mknod /tmp/d c 1 3 && echo MADE; dmesg >/dev/null && echo DMESG`,
      {
        capabilities: { add: ['SYS_ADMIN', 'NET_ADMIN', 'SYSLOG'], drop: [] },
      },
    )
    for (const line of ['mounted', 'link', 'chown', 'port']) assert.match(output, new RegExp(`^${line}$`, 'm'))
    assert.doesNotMatch(output, /MADE|DMESG/)
    const privileged = await run(
      'privileged',
      'mount -t tmpfs t /mnt && echo mounted; echo x >/proc/sysrq-trigger && echo SYSRQ; v=$(cat /proc/sys/kernel/core_pattern); echo "$v" >/proc/sys/kernel/core_pattern && echo CORE',
      { privileged: true },
    )
    assert.match(privileged, /^mounted$/m)
    assert.doesNotMatch(privileged, /SYSRQ|CORE/)
  },

  async 'procMount Unmasked shows all of /proc, and a container in the container mounts one'() {
    const script = 'grep -c " /proc/" /proc/self/mounts; unshare -Urpfm --mount-proc true && echo nested'
    const unconfined = { networkNamespace: shared.networkNamespace!, userNamespace: users, seccomp: undefined as never }
    assert.match(await run('masked', script, unconfined), /^[1-9]\d*\n.*Operation not permitted/)
    assert.equal(await run('unmasked', script, { ...unconfined, unmaskedProc: true }), '0\nnested')
  },

  async 'a read-only root, tmpfs, single files and devices'() {
    const file = join(node.directory, 'file')
    writeFileSync(file, 'content\n')
    const output = await run(
      'read-only',
      'cat /etc/file; touch /x /usr/x; echo x >/t/x && echo tmpfs; echo x >/dev/null && head -c 1 /dev/zero | wc -c; tty; ls /dev/pts',
      {
        readOnlyRootFilesystem: true,
        mounts: [
          { destination: '/etc/file', source: file, readOnly: true, propagation: 'private' },
          { destination: '/t', tmpfsBytes: 1 << 20, readOnly: false, propagation: 'private' },
        ],
      },
    )
    assert.match(output, /^content\n/)
    assert.equal(output.match(/Read-only file system/g)?.length, 2)
    assert.match(output, /^tmpfs\n1\n/m)
  },

  async 'what cannot be mounted for it is told'() {
    await assert.rejects(run('bad', 'true', { mounts: [{ destination: '/p', source: '/proc', readOnly: true, propagation: 'private' }] }), {
      message: /OCI runtime create failed: .*user namespace: mount_setattr \/proc: error 22/,
    })
  },

  async 'nothing is left'() {
    await Promise.all(readdirSync(join(node.directory, 'node/pods/uid')).map(id => runtime.remove(directoryOf(id))))
    await network.tearDown('own')
    assert.deepEqual(
      (await listMounts()).filter(m => m.target.startsWith(join(node.directory, 'node/pods'))).map(m => m.target),
      [],
    )
  },
}
