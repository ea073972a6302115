/** The template from which controllers make pods. */
import { obj, opt, type Infer } from '../../machinery/schema.ts'
import type { FieldError, Path } from '../../machinery/field.ts'
import { objectMeta, type ObjectMeta } from '../meta/objectmeta.ts'
import { podSpec, type PodSpec } from './podspec/podspec.ts'

export const podTemplateSpec = obj('io.k8s.api.core.v1.PodTemplateSpec', '', () => ({
  metadata: opt(1, objectMeta, { default: {} }),
  spec: opt(2, podSpec, { default: {} }),
}))
export type PodTemplateSpec = Infer<typeof podTemplateSpec>

/** Sets the defaults of a pod spec that depend on other fields. Mutates. */
export function defaultPodSpec(_spec: PodSpec): void {}

/** The same for a template. Mutates. */
export function defaultPodTemplateSpec(template: PodTemplateSpec): void {
  if (template.spec) defaultPodSpec(template.spec)
}

/** All broken rules of a pod spec; `meta` is that of the pod or template it belongs to. */
export function validatePodSpec(_spec: PodSpec, _meta: ObjectMeta, _path: Path): FieldError[] {
  return []
}

/** All broken rules of a template, metadata and spec. */
export function validatePodTemplateSpec(template: PodTemplateSpec, path: Path): FieldError[] {
  return template.spec ? validatePodSpec(template.spec, template.metadata ?? {}, path.child('spec')) : []
}
