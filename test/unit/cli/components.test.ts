import { expect, test } from 'vitest'
import { controlPlane } from '#control-plane/cli/components.ts'
import { addresses, stateDir } from '#control-plane/cli/state.ts'

test('an API server that does not see the files of nats-server leaves syncing to it', () => {
  const cluster = { securePort: 6443, instances: { 'kube-apiserver': 2, 'kube-controller-manager': 1, 'kube-scheduler': 1 } }
  const withStore = (seesStore: boolean): string[] =>
    controlPlane(stateDir('/nowhere'), addresses(0), cluster, { seesStore })
      .filter(c => c.args.includes('--store-dir') || c.args.includes('--store-record'))
      .map(c => c.name)
  expect(withStore(true)).toEqual(['kube-apiserver', 'kube-apiserver-2'])
  expect(withStore(false)).toEqual([])
})
