/**
 * Images of the catalogue do what they are for, with no more of the node than containers see. Those that the machine lacks are passed over.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createOciRuntime } from '#node-agent/runtime/oci.ts'
import type { ContainerRuntime } from '#node-agent/runtime/runtime.ts'
import { eventually, type Scenario } from '../../fixtures/in-node.ts'
import { containerSpec, directoryOf, exec, node, openRuntime, outputOf } from './containers.ts'

const runtime = node.directory ? await openRuntime() : (undefined as never)
const has = (binary: string): boolean => spawnSync('sh', ['-c', 'command -v "$1"', 'sh', binary]).status === 0

async function start(id: string, image: string, more: Parameters<typeof containerSpec>[2] = {}, of: ContainerRuntime = runtime) {
  const config = await of.images.pull(image, { signal: AbortSignal.timeout(10_000) })
  const { args = [...config.entrypoint, ...config.cmd], env = [], ...rest } = more
  await of.start(containerSpec(id, args, { image: config, env: [...config.env, ...env], workingDir: config.workingDir, ...rest }))
}
async function output(id: string, image: string, script: string): Promise<string> {
  await start(id, image, { args: ['sh', '-c', script] })
  const { exitCode } = await runtime.wait(directoryOf(id), AbortSignal.timeout(20_000))
  const text = outputOf(id)
  assert.equal(exitCode, 0, text)
  return text
}
const eventuallyExec = (id: string, script: string, expected: RegExp): Promise<void> =>
  eventually(async () => assert.match((await exec(runtime, id, ['sh', '-c', script])).out, expected), 20_000)

export const scenario: Scenario = {
  async 'base systems: users, certificates, packages, time'() {
    assert.match(
      await output('debian', 'debian:12', 'id nobody; getent passwd root; date; dpkg -s bash | grep ^Status'),
      /install ok installed/,
    )
    assert.match(await output('busybox', 'busybox', 'ls -l $(command -v ls); nslookup --help 2>&1 | head -1'), /busybox/)
    const python = 'python3 -c "import ssl; print(len(ssl.create_default_context().get_ca_certs()) > 0)"'
    if (has('python3')) assert.equal(await output('python', 'python:3', python), 'True')
    if (has('perl')) assert.equal(await output('perl', 'perl:5', `perl -MPOSIX -e 'print POSIX::floor(2.5)'`), '2')
    if (has('git'))
      assert.equal(await output('git', 'alpine/git', 'git init -q /tmp/g && git -C /tmp/g status --porcelain && echo clean'), 'clean')
    assert.equal(await output('node', 'node:22', 'node -p 1+1'), '2')
  },

  async 'agnhost by its path and as the image starts it'() {
    await start('agnhost', 'registry.k8s.io/e2e-test-images/agnhost:2.53', {
      args: ['/agnhost', 'netexec', '--http-port', '8093', '--udp-port', '-1'],
    })
    await eventuallyExec('agnhost', 'curl -s localhost:8093/echo?msg=here', /here/)
    await start('agnhost-pause', 'agnhost')
    assert.equal((await runtime.status(directoryOf('agnhost-pause')))?.state, 'running')
  },

  async 'nginx serves, redis stores, nats listens'() {
    if (has('nginx')) {
      await start('nginx', 'nginx:1.29')
      await eventuallyExec('nginx', 'curl -s localhost', /Welcome to nginx/)
      await eventually(() => assert.match(outputOf('nginx'), /GET \/ HTTP/))
    }
    if (has('redis-server')) {
      await start('redis', 'redis:7')
      await eventuallyExec('redis', 'redis-cli set a b && redis-cli get a', /OK\nb/)
    }
    if (has('nats-server')) {
      await start('nats', 'nats:2', { args: ['nats-server', '-p', '4333'] })
      await eventually(() => assert.match(outputOf('nats'), /Server is ready/))
    }
  },

  async 'postgres makes its database'() {
    if (!has('pg_ctlcluster')) return
    await start('postgres', 'postgres:15', { env: ['POSTGRES_PASSWORD=secret'] })
    await eventuallyExec('postgres', 'PGPASSWORD=secret psql -h 127.0.0.1 -U postgres -tc "select 40 + 2"', /42/)
  },

  async 'a program of the node elsewhere, by a catalogue of the user’s'() {
    const opt = join(node.directory, 'opt/acme')
    mkdirSync(opt, { recursive: true })
    writeFileSync(join(opt, 'tool'), '#!/bin/sh\necho the tool; echo x >"$0.new" && echo written\n', { mode: 0o755 })
    const file = join(node.directory, 'images.yaml')
    writeFileSync(file, `images: [{names: [acme/tool], entrypoint: [${opt}/tool], trees: [${opt}]}]\n`)
    const own = await createOciRuntime({ rootDir: join(node.directory, 'node'), cgroupRoot: node.cgroup, catalogueFile: file })
    await start('acme', 'acme/tool:1', {}, own)
    await own.wait(directoryOf('acme'), AbortSignal.timeout(10_000))
    assert.equal(outputOf('acme'), 'the tool\nwritten')
    // Never the node's own state.
    writeFileSync(file, `images: [{names: [acme/tool], trees: [${node.directory}]}]\n`)
    const greedy = await createOciRuntime({ rootDir: join(node.directory, 'node'), cgroupRoot: node.cgroup, catalogueFile: file })
    await assert.rejects(start('greedy', 'acme/tool:1', { args: ['true'] }, greedy), /containers would see the node's state directory/)
  },

  async 'what is left'() {
    const ids = [
      'agnhost',
      'agnhost-pause',
      'debian',
      'busybox',
      'python',
      'perl',
      'git',
      'node',
      'nginx',
      'redis',
      'nats',
      'postgres',
      'acme',
    ]
    await Promise.all(ids.map(id => runtime.remove(directoryOf(id))))
  },
}
