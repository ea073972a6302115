/** Clients that people have already, unmodified: kubectl of 2020, Helm, Python's client. */
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../../fixtures/cluster.ts'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'
import { runTool } from '../../fixtures/kubectl.ts'
import { hasOldKubectl, runOldKubectl } from '../../fixtures/old-kubectl.ts'

const fixtures = path.resolve(import.meta.dirname, '../../fixtures')
const examples = path.resolve(import.meta.dirname, '../../../examples')
let cluster: SharedCluster

beforeAll(async () => {
  cluster = await sharedCluster()
}, 120_000)
afterAll(() => cluster?.stop(), 60_000)

describe('Helm 4', () => {
  const helm = async (...args: string[]): Promise<string> => {
    const ran = await runTool('helm', cluster.kubeconfig, args, { timeout: 120_000 })
    expect(ran.code, `helm ${args.join(' ')}\n${ran.stdout}\n${ran.stderr}`).toBe(0)
    return ran.stdout
  }
  const page = async (release: string): Promise<string> => {
    const pods = JSON.parse(await cluster.kubectl('get', 'pods', '-l', `app=${release}`, '-o', 'json')) as {
      items: { metadata: { deletionTimestamp?: string }; status: { podIP: string } }[]
    }
    const pod = pods.items.find(p => !p.metadata.deletionTimestamp)!
    return (await execa('curl', ['-s', '-m', '5', `http://${pod.status.podIP}/`], { timeout: 10_000 })).stdout
  }
  const hook = (release: string): Promise<string> => cluster.kubectl('logs', `${release}-hook`)

  // Server-side apply is what Helm 4 does by itself; the other way is Helm 3's.
  for (const side of ['true', 'false'])
    test(`--server-side=${side}: install, upgrade, rollback, test, uninstall`, async () => {
      const release = `ss${side}`
      const chart = path.join(fixtures, 'chart')
      const change = ['--wait', '--timeout', '90s', `--server-side=${side}`]
      expect(await helm('install', release, chart, ...change)).toContain('STATUS: deployed')
      expect(await page(release)).toBe('hello')
      expect(await hook(release)).toBe('revision 1')
      expect(await helm('test', release, '--timeout', '60s')).toMatch(/Phase: +Succeeded/)

      expect(await helm('upgrade', release, chart, '--set', 'page=changed,replicas=3', ...change)).toContain('REVISION: 2')
      expect(await page(release)).toBe('changed')
      expect(await hook(release)).toBe('revision 2')
      expect(JSON.parse(await cluster.kubectl('get', 'deployment', release, '-o', 'json'))).toMatchObject({
        status: { readyReplicas: 3, updatedReplicas: 3 },
      })

      await helm('rollback', release, '1', ...change)
      expect(await page(release)).toBe('hello')
      expect((JSON.parse(await helm('history', release, '-o', 'json')) as { status: string }[]).map(r => r.status)).toEqual([
        'superseded',
        'superseded',
        'deployed',
      ])
      expect(JSON.parse(await helm('list', '-o', 'json'))).toMatchObject([{ name: release, revision: '3', status: 'deployed' }])

      await helm('uninstall', release, '--wait', '--timeout', '60s')
      expect(
        (await cluster.tryKubectl('get', `deployment/${release}`, `service/${release}`, `configmap/${release}`, '--ignore-not-found'))
          .stdout,
      ).toBe('')
      await eventually(async () => (await cluster.kubectl('get', 'pods', '-l', `app=${release}`, '-o', 'name')) === '', 'the pods are gone')
    }, 240_000)

  test('a chart that is wrong says so in the API server’s words', async () => {
    const ran = await runTool('helm', cluster.kubeconfig, ['install', 'wrong', path.join(fixtures, 'chart'), '--set', 'replicas=-1'])
    expect(ran.code).not.toBe(0)
    expect(ran.stderr).toContain('spec.replicas: Invalid value: -1: must be greater than or equal to 0')
    await runTool('helm', cluster.kubeconfig, ['uninstall', 'wrong'])
  }, 60_000)
})

test('python3-kubernetes: create, watch, patch, exec, list, delete', async () => {
  const ran = await execa('/usr/bin/python3', [path.join(fixtures, 'client.py'), cluster.namespace], {
    env: { KUBECONFIG: cluster.kubeconfig },
    timeout: 120_000,
    reject: false,
  })
  expect(ran.exitCode, ran.stderr).toBe(0)
  expect(JSON.parse(ran.stdout)).toEqual({
    nodes: 3,
    listed: ['python'],
    labels: expect.objectContaining({ by: 'python', patched: 'yes' }) as object,
    missing: [404, 'NotFound'],
    stdout: 'out\n',
    stderr: 'err\n',
    code: 0,
    first: 'ADDED',
    last: 'DELETED',
  })
}, 150_000)

describe.skipIf(!hasOldKubectl)('kubectl 1.20', () => {
  const kubectl = async (...args: string[]): Promise<string> => {
    const ran = await runOldKubectl(cluster.kubeconfig, args)
    expect(ran.code, `kubectl ${args.join(' ')}\n${ran.stdout}\n${ran.stderr}`).toBe(0)
    return ran.stdout
  }
  test('apply with its validation, rollout, get, describe, logs, exec, scale, delete', async () => {
    expect(await kubectl('apply', '-f', path.join(examples, 'web.yaml'))).toMatch(/deployment\.apps\/web created\nservice\/web created/)
    expect(await kubectl('rollout', 'status', 'deployment/web', '--timeout=60s')).toContain('successfully rolled out')
    expect(await kubectl('get', 'deploy,rs,svc,pods', '-o', 'wide')).toMatch(/deployment\.apps\/web +3\/3 +3 +3 /)
    expect(await kubectl('describe', 'deployment', 'web')).toMatch(/Replicas: +3 desired \| 3 updated \| 3 total \| 3 available/)
    // Of a Service that was there before: the pod may start before its own Service is made.
    expect(await kubectl('exec', 'deploy/web', '--', 'sh', '-c', 'echo $KUBERNETES_SERVICE_PORT')).toBe('443')
    await kubectl('logs', 'deploy/web')
    expect(await kubectl('scale', 'deployment/web', '--replicas=1')).toBe('deployment.apps/web scaled')
    expect(await kubectl('explain', 'deployment.spec.strategy')).toContain('rollingUpdate')
    expect(await kubectl('apply', '-f', path.join(examples, 'web.yaml'))).toMatch(
      /deployment\.apps\/web configured\nservice\/web unchanged/,
    )
    const wrong = path.join(cluster.dir, 'wrong.yaml')
    await writeFile(wrong, 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: wrong}\ndatas: {}\n')
    expect((await runOldKubectl(cluster.kubeconfig, ['apply', '-f', wrong])).stderr).toContain(
      'unknown field "datas" in io.k8s.api.core.v1.ConfigMap',
    )
    await kubectl('delete', '-f', path.join(examples, 'web.yaml'))
  }, 120_000)
})
