/** Pods for the tests of this folder: decoded and defaulted as a request would be. */
import { pod, type Pod } from '#shared/api/core/pod.ts'
import { podSchema } from '#shared/api/core/pod.ts'
import { decodeValue } from '#shared/machinery/decode.ts'
import { applyDefaults } from '#shared/machinery/defaults.ts'
import { type FieldError, Path } from '#shared/machinery/field.ts'

/** A pod of one container, with `spec` over it. */
export function makePod(spec: object = {}, metadata: object = {}, status?: object): Pod {
  const body = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'default', ...metadata },
    spec: { containers: [{ name: 'c', image: 'nginx:1.25' }], ...spec },
    status,
  }
  const made = decodeValue(podSchema, body).object as Pod
  applyDefaults(podSchema, made)
  pod.defaults?.(made)
  return made
}

const lines = (errors: FieldError[] | undefined): string[] => (errors ?? []).map(e => `${e.field}: ${e.message}`)

/** `field: message` of all that is wrong with a new pod. */
export const problems = (spec: object, metadata?: object): string[] => lines(pod.validate?.(makePod(spec, metadata), new Path()))

/** The same for a change. */
export function changeProblems(next: Pod, old: Pod, subresource = ''): string[] {
  return lines(pod.validateUpdate?.(next, old, new Path(), { subresource, dryRun: false }))
}
