/** resource.k8s.io/v1 ResourceClaimTemplate: from which claims for pods are made. */
import { obj, opt, req, type Infer } from '../../machinery/schema.ts'
import { resourceClaimTemplates } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { validateAnnotations, validateImmutable, validateLabels } from '../meta/validation.ts'
import { resource } from '../resource.ts'
import { defaultClaim } from './claimdefaults.ts'
import { validateClaim } from './claimvalidation.ts'
import { resourceClaimSpec } from './devicerequest.ts'

const resourceClaimTemplateSchema = obj('io.k8s.api.resource.v1.ResourceClaimTemplate', 'From which claims for pods are made.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: req(2, resourceClaimTemplateSpec, { doc: 'What the claims are like.', default: {} }),
}))
export type ResourceClaimTemplate = Stored<Infer<typeof resourceClaimTemplateSchema>>
const resourceClaimTemplateSpec = obj('io.k8s.api.resource.v1.ResourceClaimTemplateSpec', 'What claims from a template are like.', () => ({
  metadata: opt(1, objectMeta, { doc: 'Labels and annotations of the claims.', default: {} }),
  spec: req(2, resourceClaimSpec, { doc: 'What the claims ask for.', default: {} }),
}))

export const resourceClaimTemplate = resource<ResourceClaimTemplate>({
  ...resourceClaimTemplates,
  schema: resourceClaimTemplateSchema,
  singular: 'resourceclaimtemplate',
  defaults: t => {
    if (t.spec.spec) defaultClaim(t.spec.spec)
  },
  validate: (t, at) => {
    const meta = at.child('spec', 'metadata')
    return [
      ...validateLabels(t.spec.metadata?.labels, meta.child('labels')),
      ...validateAnnotations(t.spec.metadata?.annotations, meta.child('annotations')),
      ...validateClaim(t.spec.spec ?? {}, at.child('spec', 'spec')),
    ]
  },
  validateUpdate: (t, old, at) => validateImmutable(t.spec, old.spec, at.child('spec')),
})
