/** Bind: POST to the pod's binding subresource. */
import { pods } from '#shared/api/kinds.ts'
import type { PluginFactory } from '../framework.ts'

export const defaultBinder: PluginFactory = ({ client }) => ({
  name: 'DefaultBinder',
  async bind(_, { pod, uid }, node) {
    const { namespace = '', name = '' } = pod.metadata
    await client.post(pods, namespace, name, 'binding', {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name, namespace, uid },
      target: { kind: 'Node', name: node },
    })
    return undefined
  },
})
