/**
 * Ways out of a container, each tried by root in a container as the kubelet makes them by default. What would work must do no harm: what is
 * written to the kernel is what it says already, and the runtime is a copy.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createOciRuntime } from '#node-agent/runtime/oci.ts'
import { findRuntimes } from '#node-agent/runtime/oci/runtimes.ts'
import type { ContainerSpec } from '#node-agent/runtime/runtime.ts'
import type { Scenario } from '../../fixtures/in-node.ts'
import { containerSpec, directoryOf, exec, node, outputOf } from './containers.ts'

const copy = join(node.directory, 'runc-copy')
if (node.directory) copyFileSync(findRuntimes().get('')!.path, copy)
const runtime = node.directory
  ? await createOciRuntime({ rootDir: join(node.directory, 'node'), cgroupRoot: node.cgroup, runtimes: { copy } })
  : (undefined as never)

const byDefault = (id: string, script: string, more: Partial<ContainerSpec> = {}) =>
  containerSpec(id, ['sh', '-c', script], { seccomp: { type: 'RuntimeDefault' }, ...more })
/** The output of a script, errors included. */
async function tried(id: string, script: string, more: Partial<ContainerSpec> = {}): Promise<string> {
  await runtime.start(byDefault(id, `exec 2>&1; ${script}`, more))
  await runtime.wait(directoryOf(id), AbortSignal.timeout(20_000))
  return outputOf(id)
}
/** Says OUT for each command that succeeds. */
const each = (...commands: string[]): string => commands.map(c => `(${c}) && echo 'OUT: ${c.replaceAll("'", '"')}'`).join('\n')
const perl = (code: string): string => `perl -e '${code}'`

export const scenario: Scenario = {
  async 'devices can be made, but not opened'() {
    const disk = /^\s*(\d+)\s+(\d+)\s+\d+\s+(?!loop|ram)\S+/m.exec(readFileSync('/proc/partitions', 'utf8'))
    const numbers = ['c 1 1', 'c 1 11', 'c 10 229', 'c 10 232', ...(disk ? [`b ${disk[1]} ${disk[2]}`] : [])]
    const open = numbers.map((n, i) => `mknod /tmp/d${i} ${n}; (: </tmp/d${i}) && echo OUT ${n}; (: >>/tmp/d${i}) && echo OUT ${n}`)
    const output = await tried(
      'mknod',
      [...open, 'cat /tmp/d9; ls /dev', 'mknod /tmp/null c 1 3 && echo x >/tmp/null && echo null'].join('\n'),
    )
    assert.doesNotMatch(output, /OUT/)
    assert.match(output, /Operation not permitted/)
    // Those that every container has are allowed.
    assert.match(output, /^null$/m)
    assert.doesNotMatch(output, /^(kmsg|mem|port|sd.|vd.|fuse|kvm)$/m)
  },

  async 'what the kernel has once for all cannot be written, nor seen where it tells of others'() {
    const same = ['kernel/core_pattern', 'kernel/panic', 'vm/overcommit_memory', 'kernel/hostname', 'net/ipv4/ip_forward']
    const write = same.map(name => `v=$(cat /proc/sys/${name}) && echo "$v" >/proc/sys/${name}`)
    const files = ['/proc/sysrq-trigger', '/sys/kernel/mm/transparent_hugepage/enabled', '/sys/kernel/uevent_helper', '/sys/power/state']
    const output = await tried(
      'kernel',
      each(
        ...write,
        ...files.map(f => `echo h >${f}`),
        'mkdir /sys/fs/cgroup/x',
        'mount -o remount,rw /proc/sys',
        'mount -o remount,rw /sys',
        'umount /proc/sys',
        'umount /proc/kcore',
        'test -s /proc/kcore',
        'test -n "$(cat /proc/keys)"',
        'test -n "$(cat /proc/timer_list)"',
        'test -n "$(ls /sys/firmware)"',
        'dmesg',
      ),
    )
    assert.doesNotMatch(output, /^OUT/m)
    assert.match(output, /Read-only file system/)
  },

  async 'control groups: no release agent, no other limits, no new ones'() {
    const output = await tried(
      'cgroup',
      `for d in /sys/fs/cgroup /sys/fs/cgroup/*; do test -d $d || continue
         mkdir $d/x && echo OUT mkdir; (: >>$d/release_agent) && echo OUT agent; (: >>$d/notify_on_release) && echo OUT notify
         (echo 0 >>$d/cgroup.procs) && echo OUT procs; done
       mkdir /tmp/c; ${each('mount -t cgroup -o memory c /tmp/c', 'mount -t cgroup2 c /tmp/c', 'unshare -UrmC true', 'unshare -C true')}`,
    )
    assert.doesNotMatch(output, /OUT/)
    assert.match(output, /Read-only file system/)
  },

  async 'system calls that reach further: keys, handles, modules, namespaces, other processes, eBPF, io_uring'() {
    const numbers = {
      x64: { add_key: 248, keyctl: 250, open_by_handle_at: 304, finit_module: 313, init_module: 175, kexec_load: 246, bpf: 321, perf_event_open: 298, userfaultfd: 323, setns: 308, unshare: 272, mount: 165, pivot_root: 155, swapon: 167, reboot: 169, io_uring_setup: 425, move_mount: 429, open_tree: 428, settimeofday: 164, quotactl: 179, acct: 163, ioperm: 173 }, // prettier-ignore
      arm64: { add_key: 217, keyctl: 219, open_by_handle_at: 265, finit_module: 273, init_module: 105, kexec_load: 104, bpf: 280, perf_event_open: 241, userfaultfd: 282, setns: 268, unshare: 97, mount: 40, pivot_root: 41, swapon: 224, reboot: 142, io_uring_setup: 425, move_mount: 429, open_tree: 428, settimeofday: 170, quotactl: 60, acct: 89 }, // prettier-ignore
    }[process.arch as 'x64' | 'arm64']
    const calls = Object.entries(numbers).map(([name, number]) => `$r = syscall(${number}, 0, 0, 0, 0, 0); print "${name} $r $!\\n";`)
    const output = await tried('calls', perl(calls.join(' ')))
    assert.deepEqual(
      output.split('\n'),
      Object.keys(numbers).map(name => `${name} -1 Operation not permitted`),
    )
  },

  async 'processes of the node are out of sight and reach'() {
    const output = await tried(
      'processes',
      `ls -d /proc/[0-9]* | wc -l; cat /proc/1/cmdline | tr '\\0' ' '; ${each(`kill -0 ${process.pid}`)}`,
    )
    assert.match(output, /^[2-6]\nsh -c /)
    assert.doesNotMatch(output, /^OUT/m)
  },

  async 'files of the node: its state, credentials, sockets and what is mounted there'() {
    writeFileSync('/run/of-the-node', 'secret')
    mkdirSync(join(node.directory, 'node/pki'), { recursive: true })
    writeFileSync(join(node.directory, 'node/pki/kubelet-client-current.pem'), 'secret')
    writeFileSync(join(node.directory, 'kubelet.creds'), 'secret')
    const output = await tried(
      'files',
      `${each(`ls ${node.directory} 2>/dev/null`, 'cat /run/of-the-node', 'test -e /run/docker.sock', 'cat /etc/shadow | grep -E "^[^:]*:[^*!:]"', 'ls /root/.* -d | grep ssh')}
       find / -xdev \\( -name '*.creds' -o -name kubelet-client-current.pem \\) 2>/dev/null
       cat /proc/self/environ | tr '\\0' '\\n'; readlink /proc/self/fd/*`,
    )
    assert.doesNotMatch(output, /^OUT|secret|creds|current\\.pem|COXSWAIN|NATS/m)
    // No descriptor of the runtime's or of conmon's is left open.
    assert.doesNotMatch(output, new RegExp(node.directory))
  },

  async 'out of the root by chroot, by the working directory and by links'() {
    writeFileSync('/run/of-the-node', 'secret')
    const climb = 'mkdir "x"; chroot "x"; chdir ".." for 1..64; chroot "."; print `cat /run/of-the-node`;'
    assert.doesNotMatch(await tried('chroot', perl(climb)), /secret/)
    // CVE-2024-21626: a descriptor of the node that the runtime has open becomes the working directory.
    for (let fd = 3; fd <= 12; fd++) {
      const id = `cwd-${fd}`
      const output = await tried(id, 'cat ../../../../../../../../run/of-the-node; pwd -P', { workingDir: `/proc/self/fd/${fd}` }).catch(
        (e: Error) => e.message,
      )
      assert.doesNotMatch(output, /secret/)
      assert.match(output, /OCI runtime create failed|No such file/)
    }
    // A volume that leads elsewhere, in which another one is mounted, and one that is a link itself.
    const volume = join(node.directory, 'links')
    mkdirSync(volume)
    for (const [name, target] of Object.entries({ root: '/', up: '../../../../../../..', node: '/run', proc: '/proc' }))
      symlinkSync(target, join(volume, name))
    const mountAt = (destination: string) => ({
      mounts: [
        { destination: '/v', source: volume, readOnly: false, propagation: 'private' as const },
        { destination, tmpfsBytes: 4096, readOnly: false, propagation: 'private' as const },
      ],
    })
    const look = 'cat /v/node/of-the-node /v/up/run/of-the-node /v/root/run/of-the-node; true'
    for (const name of ['root', 'up', 'node', 'proc'])
      assert.doesNotMatch(await tried(`link-${name}`, look, mountAt(`/v/${name}/escaped`)).catch((e: Error) => e.message), /secret/)
    assert.deepEqual(['/escaped', '/run/escaped', join(node.directory, 'escaped')].filter(existsSync), [])
  },

  async 'the runtime itself, while it comes in (CVE-2019-5736)'() {
    const digest = () => createHash('sha256').update(readFileSync(copy)).digest('hex')
    const before = digest()
    const write = `while :; do for p in /proc/[0-9]*; do case "$(readlink $p/exe)" in *runc*|*memfd*) echo seen
      (echo HACKED >>$p/exe) 2>/dev/null && echo WROTE; for f in $p/fd/*; do case "$(readlink $f)" in *runc*|*memfd*) (echo HACKED >>$f) 2>/dev/null && echo WROTE;; esac; done;; esac; done; done`
    await runtime.start(byDefault('overwrite', write, { handler: 'copy' }))
    // The program that is run is the one that runs it.
    for (let n = 0; n < 5; n++) await exec(runtime, 'overwrite', ['/proc/self/exe', '--version'])
    await exec(runtime, 'overwrite', ['sh', '-c', 'printf "#!/proc/self/exe" >/tmp/program; chmod +x /tmp/program; exec /tmp/program'])
    await runtime.remove(directoryOf('overwrite'))
    assert.doesNotMatch(outputOf('overwrite'), /WROTE/)
    assert.equal(digest(), before)
  },

  async 'file capabilities and set-uid programs give nothing without privilege escalation'() {
    // A copy of id that belongs to root and is set-uid, in a volume.
    const volume = join(node.directory, 'setuid')
    mkdirSync(volume)
    copyFileSync('/usr/bin/id', join(volume, 'id'))
    const mounts = [{ destination: '/v', source: volume, readOnly: true, propagation: 'private' as const }]
    const { chmodSync } = await import('node:fs')
    chmodSync(join(volume, 'id'), 0o4755)
    const who = (allowPrivilegeEscalation: boolean, id: string) =>
      tried(id, '/v/id -u', { mounts, allowPrivilegeEscalation, user: { uid: 1000, gid: 1000, supplementalGroups: [] } })
    assert.equal(await who(false, 'no-new-privileges'), '1000')
    assert.equal(await who(true, 'new-privileges'), '0')
  },
}
