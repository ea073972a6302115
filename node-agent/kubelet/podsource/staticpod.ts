/** A pod from a manifest of the node: decoded, defaulted and checked as the API server does, and given upstream's name, uid and marks. */
import { createHash } from 'node:crypto'
import { pod as resource, podSchema, type Pod } from '#shared/api/core/pod.ts'
import { decode } from '#shared/machinery/decode.ts'
import { applyDefaults } from '#shared/machinery/defaults.ts'
import { findErrors, Path } from '#shared/machinery/field.ts'
import { yamlToJson } from '#shared/machinery/yaml.ts'
import { configHash, configSource } from '../pod/critical.ts'
import { apiObjectReference } from './references.ts'

/** `text` is YAML or JSON; `source` where it comes from, such as a file's path. Throws with every reason why it is no pod. */
export function staticPod(text: string, source: string, nodeName: string): Pod {
  const { object, unknown } = decode(podSchema, yamlToJson(text).json)
  const pod = object as Pod
  if (pod.kind !== 'Pod' || pod.apiVersion !== 'v1')
    throw new Error(`kind must be Pod of v1, not ${pod.kind ?? ''} of ${pod.apiVersion ?? ''}`)
  if (unknown.length > 0) throw new Error(`unknown fields: ${unknown.join(', ')}`)
  const uid =
    pod.metadata.uid ||
    createHash('sha256')
      .update(`${nodeName}\0${source}\0${JSON.stringify(pod)}`)
      .digest('hex')
      .slice(0, 32)
  applyDefaults(podSchema, pod)
  resource.defaults?.(pod)
  pod.metadata = {
    ...pod.metadata,
    uid,
    name: `${pod.metadata.name ?? ''}-${nodeName.toLowerCase()}`,
    namespace: pod.metadata.namespace || 'default',
    annotations: { ...pod.metadata.annotations, [configHash]: uid, [configSource]: 'file' },
  }
  pod.spec.nodeName = nodeName
  // Nothing that befalls the node drives it away.
  pod.spec.tolerations = [...(pod.spec.tolerations ?? []), { operator: 'Exists', effect: 'NoExecute' }]
  pod.status = { phase: 'Pending' }
  const errors = findErrors(() => resource.validate?.(pod, new Path()) ?? [])
  if (errors.length > 0) throw new Error(errors.map(e => `${e.field}: ${e.message}`).join('; '))
  for (const name of [pod.metadata.name, pod.metadata.namespace])
    if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(name ?? '')) throw new Error(`metadata: ${JSON.stringify(name)} is no name`)
  const reference = apiObjectReference(pod)
  if (reference !== undefined) throw new Error(`static pods may not reference ${reference}`)
  return pod
}
