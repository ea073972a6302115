/** core/v1 PodTemplate: a template of pods by itself, which controllers may use. */
import { Path } from '../../machinery/field.ts'
import { formatLabels } from '../../machinery/labels.ts'
import { obj, opt, type Infer } from '../../machinery/schema.ts'
import { nameColumn } from '../columns.ts'
import { podTemplates } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { defaultPodTemplateSpec, podTemplateSpec, sameGeneration, validatePodTemplateSpec, warningsForPodTemplate } from './podtemplate.ts'

const podTemplateSchema = obj('io.k8s.api.core.v1.PodTemplate', 'A template from which pods are made.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  template: opt(2, podTemplateSpec, { doc: 'What the pods look like.', default: {} }),
}))
export type PodTemplate = Stored<Infer<typeof podTemplateSchema>>

const containers = (t: PodTemplate) => t.template?.spec?.containers ?? []

export const podTemplate = resource<PodTemplate>({
  ...podTemplates,
  schema: podTemplateSchema,
  singular: 'podtemplate',
  hasGeneration: true,
  columns: [
    nameColumn,
    {
      name: 'Containers',
      type: 'string',
      doc: 'Names of each container in the template.',
      cell: t =>
        containers(t)
          .map(c => c.name)
          .join(','),
    },
    {
      name: 'Images',
      type: 'string',
      doc: 'Images referenced by each container in the template.',
      cell: t =>
        containers(t)
          .map(c => c.image ?? '')
          .join(','),
    },
    { name: 'Pod Labels', type: 'string', doc: 'The labels for the pod template', cell: t => formatLabels(t.template?.metadata?.labels) },
  ],
  defaults: t => {
    if (t.template) defaultPodTemplateSpec(t.template)
  },
  validate: (t, at) => validatePodTemplateSpec(t.template ?? {}, at.child('template')),
  warnings: (t, old) => (sameGeneration(t, old) ? [] : warningsForPodTemplate(t.template, new Path('template'))),
})
