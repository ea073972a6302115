/** A check of the Pod Security Standards, and what all of them are made of (k8s.io/pod-security-admission/policy). */
import type { ObjectMeta } from '#shared/api/meta/objectmeta.ts'
import type { PodSpec } from '#shared/api/core/podspec/podspec.ts'

/** What is wrong: `reason` in a few words, `detail` with the names and values. */
export interface Violation {
  readonly reason: string
  readonly detail: string
}
export type CheckPod = (spec: PodSpec, metadata: ObjectMeta) => Violation | undefined

export interface Check {
  readonly id: string
  /** Baseline checks hold for restricted namespaces, too. */
  readonly level: 'baseline' | 'restricted'
  /** By the minor version from which each holds, rising. */
  readonly versions: readonly { readonly from: number; readonly check: CheckPod }[]
  /** Of a restricted check: the baseline checks that it makes superfluous. */
  readonly overrides?: readonly string[]
}

/** What all kinds of containers have in common. */
export type Container = Pick<
  PodSpec['containers'][number],
  'name' | 'securityContext' | 'ports' | 'livenessProbe' | 'readinessProbe' | 'startupProbe' | 'lifecycle'
>
export const containersOf = (spec: PodSpec): readonly Container[] => [
  ...(spec.initContainers ?? []),
  ...(spec.containers ?? []),
  ...((spec.ephemeralContainers ?? []) as readonly Container[]),
]

export const plural = (singular: string, n: number, several = `${singular}s`): string => (n === 1 ? singular : several)
/** `"a", "b"` */
export const quoted = (items: readonly string[]): string => items.map(i => `"${i}"`).join(', ')
/** `container "a"`, `containers "a", "b"` */
export const named = (containers: readonly Container[]): string =>
  `${plural('container', containers.length)} ${quoted(containers.map(c => c.name))}`
/** Each once, in order. */
export const sorted = (values: Iterable<string>): string[] => [...new Set(values)].sort()

/** The pod itself and containers that set something bad: `pod and container "a"`; '' when nobody does. */
export const setters = (pod: boolean, containers: readonly Container[]): string =>
  [...(pod ? ['pod'] : []), ...(containers.length > 0 ? [named(containers)] : [])].join(' and ')

/** A Windows pod cannot set what a check asks for. */
export const unlessWindows =
  (check: CheckPod): CheckPod =>
  (spec, metadata) =>
    spec.os?.name === 'windows' ? undefined : check(spec, metadata)
/** In a user namespace root is not that of the node. */
export const unlessUserNamespace =
  (check: CheckPod): CheckPod =>
  (spec, metadata) =>
    spec.hostUsers === false ? undefined : check(spec, metadata)
