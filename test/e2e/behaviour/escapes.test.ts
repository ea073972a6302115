/**
 * Ways out of a pod by what it may see or reach: the node's processes, what listens on the node and on the machine, other pods' volumes.
 * Those out of a container are tried in test/integration/runtime/escapes.scenario.ts.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'

let cluster: SharedCluster
let kubectl: SharedCluster['kubectl']
beforeAll(async () => {
  cluster = await sharedCluster()
  kubectl = cluster.kubectl
  const nodeName = await kubectl('get', 'nodes', '-o', 'jsonpath={.items[0].metadata.name}')
  const pod = (name: string, spec: string, containers: string) => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec:
  nodeName: ${nodeName}
  terminationGracePeriodSeconds: 1
${spec}
  containers: ${containers}
---
`
  const container = (name: string, more = '') => `{name: ${name}, image: busybox, command: [sleep, '3600']${more}}`
  await cluster.apply(
    pod('plain', '', `[${container('a')}]`) +
      pod(
        'looker',
        '  hostPID: true\n  hostNetwork: true\n  hostIPC: true',
        `[${container('root')}, ${container('user', ', securityContext: {runAsUser: 1000}')},
          ${container('able', ', securityContext: {capabilities: {add: [SYS_PTRACE, NET_ADMIN]}}')}]`,
      ),
  )
  await kubectl('wait', '--for=condition=Ready', 'pod/plain', 'pod/looker', '--timeout=60s')
}, 120_000)
afterAll(async () => await cluster?.stop(), 70_000)

const sh = async (pod: string, container: string, script: string): Promise<string[]> =>
  (await kubectl('exec', pod, '-c', container, '--', 'sh', '-c', `{ ${script}\n} 2>/dev/null; true`)).split('\n').filter(Boolean)

/** Says which of an agent's files can be read. */
const lookAtAgent = `for p in /proc/[0-9]*; do
  tr '\\0' '\\n' <$p/cmdline | grep -qE '/(node-agent|cluster-dns)\\.js$' || continue; echo seen
  for f in environ maps auxv; do head -c 1 $p/$f | grep -q . && echo $f; done
  for f in root/etc cwd/. fd/0 ns/net; do ls $p/$f >/dev/null && echo $f; done
done`

test("a pod that sees the node's processes reads nothing of the agent's: credentials, memory, files, namespaces", async () => {
  for (const name of ['root', 'user']) expect(new Set(await sh('looker', name, lookAtAgent))).toEqual(new Set(['seen']))
  // That is what the capability is for: the same looks find what there is.
  expect(await sh('looker', 'able', lookAtAgent)).toEqual(expect.arrayContaining(['environ', 'maps', 'root/etc', 'ns/net']))
})

test("a pod in the node's network can change nothing of it, and hears nothing of others'", async () => {
  const tries = ['ip link add x type dummy', 'nft list ruleset', 'ip route add 192.0.2.0/24 dev lo', 'ip netns exec x true']
  expect(await sh('looker', 'root', tries.map(t => `(${t}) >/dev/null && echo '${t}'`).join('\n'))).toEqual([])
  expect(await sh('looker', 'able', 'nft list ruleset >/dev/null && echo listed')).toEqual(['listed'])
  // Names that need no file, of which everybody in the network may connect to them.
  expect((await sh('looker', 'root', 'cat /proc/net/unix')).filter(line => / @/.test(line))).toEqual([])
})

test('nothing that listens is of use without credentials', async () => {
  const address = await kubectl('get', 'node', '-o', 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
  const code = (url: string, header = '') =>
    `echo "$(curl -sk -m 5 -o /dev/null -w '%{http_code}' ${header ? `-H "Authorization: Bearer $(cat /var/run/secrets/kubernetes.io/serviceaccount/token)"` : ''} ${url})"`
  const each = (urls: string[]) => urls.flatMap(url => [code(url), code(url, 'token')]).join('\n')
  const kubelet = ['pods', 'configz', 'metrics', 'stats/summary', 'logs/', `run/${cluster.namespace}/plain/a`, 'debug/pprof/'].map(
    path => `https://${address}:10250/${path}`,
  )
  expect(await sh('plain', 'a', each(kubelet))).toEqual(kubelet.flatMap(() => ['401', '403']))
  const api = ['api/v1/secrets', 'api/v1/namespaces/kube-system/secrets', 'api/v1/nodes/x/proxy/pods', 'metrics'].map(
    path => `https://kubernetes.default/${path}`,
  )
  expect(await sh('plain', 'a', each(api))).toEqual(api.flatMap(() => ['403', '403']))
  // What the agent serves for itself alone is on its loopback.
  const own = [10248, 10249].map(port => `http://${address}:${port}/metrics`)
  expect(await sh('plain', 'a', own.map(url => code(url)).join('\n'))).toEqual(['000', '000'])

  const agent = (await cluster.ps()).find(p => p.component === 'node-agent')!
  const { hostname, port } = new URL(/--nats-url[ =](\S+)/.exec(agent.command)![1]!)
  const greet = (options: object): string =>
    `printf 'CONNECT ${JSON.stringify({ verbose: true, ...options })}\\r\\nSUB > 1\\r\\nPING\\r\\n' | nc -w 3 ${hostname} ${port}`
  for (const options of [{}, { user: 'system:node:node-1', pass: 'x' }]) {
    const answer = await sh('plain', 'a', greet(options))
    expect(answer[0]).toMatch(/^INFO /)
    expect(answer.slice(1).map(line => line.trim())).toEqual(["-ERR 'Authorization Violation'"])
  }
})

test("a pod that is shown where the node keeps its and others' volumes does not get there", async () => {
  const [place] = await sh('plain', 'a', 'awk \'$5 == "/etc/hosts" {print $4}\' /proc/self/mountinfo')
  expect(place).toMatch(/\/pods\/[0-9a-f-]{36}\/etc-hosts$/)
  const pods = place!.replace(/\/[^/]+\/etc-hosts$/, '')
  const uid = await kubectl('get', 'pod', 'looker', '-o', 'jsonpath={.metadata.uid}')
  const tries = [place!, `${pods}/${uid}/volumes`, pods, `/proc/1/root${pods}`, `/proc/1/cwd/../../../../..${pods}`]
  expect(await sh('plain', 'a', tries.map(t => `ls ${t} >/dev/null && echo ${t}`).join('\n'))).toEqual([])
  expect(await sh('looker', 'able', `ls /proc/1/root${pods}`)).toContain(uid)
})
