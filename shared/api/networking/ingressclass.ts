/**
 * networking.k8s.io/v1 IngressClass: who implements ingresses.
 * https://kubernetes.io/docs/concepts/services-networking/ingress/#ingress-class
 */
import { forbidden, invalid, notSupported, required, tooLong, type FieldError, type Path } from '../../machinery/field.ts'
import { isDNS1123Label, isDNS1123Subdomain, regexError } from '../../machinery/names.ts'
import { obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { ingressClasses } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { validateImmutable } from '../meta/validation.ts'
import { resource } from '../resource.ts'
import { validateReference } from './ingressvalidation.ts'

const ingressClassSchema = obj('io.k8s.api.networking.v1.IngressClass', 'A kind of ingresses and who implements them.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, ingressClassSpec, { doc: 'Its controller.', default: {} }),
}))
export type IngressClass = Stored<Infer<typeof ingressClassSchema>>
const ingressClassSpec = obj('io.k8s.api.networking.v1.IngressClassSpec', 'Who implements the ingresses of a class.', () => ({
  controller: opt(1, str(), { doc: 'Name of the controller, with a domain; cannot change.' }),
  parameters: opt(2, ingressClassParametersReference, { doc: 'An object with further settings for the controller.' }),
}))
const ingressClassParametersReference = obj(
  'io.k8s.api.networking.v1.IngressClassParametersReference',
  'Names the object with the parameters of a class.',
  () => ({
    apiGroup: opt(1, str(), { doc: 'Its API group; the core group when absent.', pointer: true }),
    kind: req(2, str(), { doc: 'Its kind.', default: '' }),
    name: req(3, str(), { doc: 'Its name.', default: '' }),
    scope: opt(4, str(), { doc: 'Cluster or Namespace.', pointer: true }),
    namespace: opt(5, str(), { doc: 'Its namespace, when scope says so.', pointer: true }),
  }),
)
export type IngressClassParametersReference = Infer<typeof ingressClassParametersReference>

export const ingressClass = resource<IngressClass>({
  ...ingressClasses,
  schema: ingressClassSchema,
  singular: 'ingressclass',
  hasGeneration: true,
  columns: [
    nameColumn,
    { name: 'Controller', type: 'string', doc: 'Who implements it', cell: c => c.spec.controller ?? '' },
    { name: 'Parameters', type: 'string', doc: 'An object with further settings', cell: parameters },
    ageColumn,
  ],
  defaults: ({ spec }) => {
    if (spec.parameters) spec.parameters.scope ??= 'Cluster'
  },
  validate: (c, at) => [
    ...validateController(c.spec.controller ?? '', at.child('spec', 'controller')),
    ...(c.spec.parameters ? validateParameters(c.spec.parameters, at.child('spec', 'parameters')) : []),
  ],
  validateUpdate: (c, old, at) => validateImmutable(c.spec.controller, old.spec.controller, at.child('spec', 'controller')),
})

function parameters({ spec: { parameters: p } }: IngressClass): string {
  if (!p) return '<none>'
  return `${p.kind}${p.apiGroup === undefined ? '' : `.${p.apiGroup}`}/${p.name}`
}

const maxController = 250
const httpPath = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+"
function validateController(text: string, at: Path): FieldError[] {
  if (text === '') return [required(at)]
  const errors = Buffer.byteLength(text) > maxController ? [tooLong(at, maxController)] : []
  const slash = text.indexOf('/')
  const [host, path] = [text.slice(0, slash), text.slice(slash + 1)]
  if (slash <= 0 || path === '') return [...errors, invalid(at, text, 'must be a domain-prefixed path (such as "acme.io/foo")')]
  errors.push(...isDNS1123Subdomain(host).map(m => invalid(at, host, m)))
  if (!new RegExp(`^${httpPath}$`).test(path)) errors.push(invalid(at, path, regexError('Invalid path', httpPath)))
  return errors
}

const scopes = ['Cluster', 'Namespace']
function validateParameters(p: IngressClassParametersReference, at: Path): FieldError[] {
  const errors = validateReference(p, at)
  const namespaceAt = at.child('namespace')
  if (p.scope === undefined) return [...errors, required(at.child('scope'))]
  if (!scopes.includes(p.scope)) errors.push(notSupported(at.child('scope'), p.scope, scopes))
  else if (p.scope === 'Cluster') {
    if (p.namespace !== undefined) errors.push(forbidden(namespaceAt, "`parameters.scope` is set to 'Cluster'"))
  } else if (p.namespace === undefined) errors.push(required(namespaceAt, "`parameters.scope` is set to 'Namespace'"))
  else errors.push(...isDNS1123Label(p.namespace).map(m => invalid(namespaceAt, p.namespace, m)))
  return errors
}
