import { expect, test } from 'vitest'
import { controlPlane } from '#control-plane/cli/components.ts'
import { addresses, stateDir } from '#control-plane/cli/state.ts'
import { kept } from '#control-plane/cli/wanted.ts'

const cluster = { securePort: 6443, instances: { 'kube-apiserver': 2, 'kube-controller-manager': 1, 'kube-scheduler': 1 } }

test('an API server that does not see the files of nats-server leaves syncing to it', () => {
  const withStore = (seesStore: boolean): string[] =>
    controlPlane(stateDir('/nowhere'), addresses(0), cluster, { seesStore })
      .filter(c => c.args.includes('--store-dir') || c.args.includes('--store-record'))
      .map(c => c.name)
  expect(withStore(true)).toEqual(['kube-apiserver', 'kube-apiserver-2'])
  expect(withStore(false)).toEqual([])
})

test('what cox up was told of the scheduler and of controllers is kept, and passed on', () => {
  const had = { index: 0, ...cluster, ...kept({ schedulerConfig: '/s.yaml', controllers: '*,-cronjob-controller' }, undefined), nodes: [] }
  const argsOf = (component: string): string[] =>
    controlPlane(stateDir('/nowhere'), addresses(0), { ...cluster, ...kept({}, had) }).find(c => c.name === component)!.args
  expect(argsOf('kube-scheduler')).toEqual(expect.arrayContaining(['--config', '/s.yaml']))
  expect(argsOf('kube-controller-manager')).toEqual(expect.arrayContaining(['--controllers', '*,-cronjob-controller']))
})

test('what cox up was told of API servers is kept, and passed on', () => {
  const asked = { authenticationConfig: '/a.yaml', authorizationConfig: '/b.yaml', auditWebhookConfig: '/c.yaml' }
  const had = { index: 0, ...cluster, ...kept(asked, undefined), nodes: [] }
  const flags = ['--authentication-config', '/a.yaml', '--authorization-config', '/b.yaml', '--audit-webhook-config-file', '/c.yaml']
  const argsOf = (settings: ReturnType<typeof kept>): string[] =>
    controlPlane(stateDir('/nowhere'), addresses(0), { ...cluster, ...settings }).find(c => c.name === 'kube-apiserver')!.args
  expect(argsOf(kept({}, had))).toEqual(expect.arrayContaining(flags))
  const ended = argsOf(kept({ authenticationConfig: 'none', authorizationConfig: 'none', auditWebhookConfig: 'none' }, had))
  expect(ended.filter(arg => flags.includes(arg))).toEqual([])
})
