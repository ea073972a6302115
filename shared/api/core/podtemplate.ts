/** The template from which controllers make pods. */
import { forbidden, Path, type FieldError } from '../../machinery/field.ts'
import { obj, opt, type Infer } from '../../machinery/schema.ts'
import { objectMeta, type ObjectMeta } from '../meta/objectmeta.ts'
import { validateAnnotations, validateLabels } from '../meta/validation.ts'
import { validatePodAnnotations } from './podspec/annotationvalidation.ts'
import { defaultPodSpec } from './podspec/defaults.ts'
import { podSpec } from './podspec/podspec.ts'
import { warningsForName, warningsForPod } from './podspec/warnings.ts'
import { validatePodSpec } from './podspec/validation.ts'

export { defaultPodSpec, validatePodSpec }

export const podTemplateSpec = obj('io.k8s.api.core.v1.PodTemplateSpec', 'What new pods look like.', () => ({
  metadata: opt(1, objectMeta, { doc: 'Labels and annotations of the pods.', default: {} }),
  spec: opt(2, podSpec, { doc: 'What the pods run.', default: {} }),
}))
export type PodTemplateSpec = Infer<typeof podTemplateSpec>

/** Sets the defaults of a template that depend on other fields. Mutates. */
export function defaultPodTemplateSpec(template: PodTemplateSpec): void {
  if (template.spec) defaultPodSpec(template.spec)
}

/** All broken rules of a template, metadata and spec. Upstream reports labels and annotations right below the template. */
export function validatePodTemplateSpec(template: PodTemplateSpec, path: Path): FieldError[] {
  const meta: ObjectMeta = template.metadata ?? {}
  const errors = [...validateLabels(meta.labels, path.child('labels')), ...validateAnnotations(meta.annotations, path.child('annotations'))]
  if (!template.spec) return errors
  errors.push(...validatePodAnnotations(meta, template.spec, path.child('annotations'), path.child('spec')))
  errors.push(...validatePodSpec(template.spec, {}, path.child('spec')))
  if (template.spec.ephemeralContainers?.length)
    errors.push(forbidden(path.child('spec', 'ephemeralContainers'), 'ephemeral containers not allowed in pod template'))
  return errors
}

interface Templated {
  metadata: ObjectMeta
  spec: { template?: PodTemplateSpec | undefined }
}
type Meta = Pick<Templated, 'metadata'>

/** Whether a change is one of metadata and status only, which is not warned about. */
export const sameGeneration = (object: Meta, old: Meta | undefined): boolean =>
  old !== undefined && old.metadata.generation === object.metadata.generation

/** What is said of a template, which is at this path. */
export const warningsForPodTemplate = (template: PodTemplateSpec | undefined, at: Path): string[] =>
  template?.spec ? warningsForPod(template.spec, template.metadata ?? {}, at) : []

/** The same of a kind that has one in its spec; on a change only when it made a new generation. */
export const warningsForTemplateInSpec = (object: Templated, old: Templated | undefined): string[] =>
  sameGeneration(object, old) ? [] : warningsForPodTemplate(object.spec.template, new Path('spec').child('template'))

/** The same of a kind whose name becomes part of the names of its pods. */
export const warningsForTemplate = (object: Templated, old: Templated | undefined): string[] => [
  ...(old || !object.spec.template ? [] : warningsForName(object.metadata.name, 'Pod names and hostnames')),
  ...warningsForTemplateInSpec(object, old),
]
