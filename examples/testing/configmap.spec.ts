import { CoreV1Api, KubeConfig } from '@kubernetes/client-node'
import { expect, test } from 'vitest'

test('a ConfigMap is stored', async () => {
  const config = new KubeConfig()
  config.loadFromDefault()
  const core = config.makeApiClient(CoreV1Api)
  await core.createNamespacedConfigMap({ namespace: 'default', body: { metadata: { name: 'stored' }, data: { a: '1' } } })
  expect((await core.readNamespacedConfigMap({ namespace: 'default', name: 'stored' })).data).toEqual({ a: '1' })
})
