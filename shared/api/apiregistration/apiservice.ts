/**
 * apiregistration.k8s.io/v1 APIService: a group and version that another server serves.
 * https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/
 */
import { invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { isDNS1035Label, isDNS1123Subdomain, isPortNumber, nameIsPathSegment } from '../../machinery/names.ts'
import { bool, bytes, int32, list, obj, opt, req, str, time, type Infer } from '../../machinery/schema.ts'
import { formatTime } from '../../machinery/time.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { apiServices } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'

const apiServiceSchema = obj(
  'io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService',
  'A group and version that another server serves.',
  () => ({
    ...typeMeta(),
    metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
    spec: opt(2, apiServiceSpec, { doc: 'Who serves it.', default: {} }),
    status: opt(3, apiServiceStatus, { doc: 'Whether it is served.', default: {} }),
  }),
)
export type APIService = Stored<Infer<typeof apiServiceSchema>>
const apiServiceSpec = obj(
  'io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceSpec',
  'A group and version, and who serves it.',
  () => ({
    service: opt(1, serviceReference, { doc: 'Who serves it; this server when absent.' }),
    group: opt(2, str(), { doc: 'The group.' }),
    version: opt(3, str(), { doc: 'The version.' }),
    insecureSkipTLSVerify: opt(4, bool(), { doc: "Whether the server's certificate is not checked.", pointer: false }),
    caBundle: opt(5, bytes(), { doc: "Certificate authorities that the server's certificate is checked with.", listType: 'atomic' }),
    groupPriorityMinimum: req(7, int32(), { doc: 'Order of groups; larger is first.' }),
    versionPriority: req(8, int32(), { doc: 'Order of versions in a group; larger is first.' }),
  }),
)
const serviceReference = obj(
  'io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.ServiceReference',
  'A port and path of a service.',
  () => ({
    namespace: opt(1, str(), { doc: 'Namespace of the service.' }),
    name: opt(2, str(), { doc: 'Name of the service.' }),
    port: opt(3, int32(), { doc: 'Port of the service.' }),
  }),
)
export type ServiceReference = Infer<typeof serviceReference>
const apiServiceStatus = obj(
  'io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceStatus',
  'Whether a group and version is served.',
  () => ({
    conditions: opt(1, list(apiServiceCondition), {
      doc: 'Observed aspects, such as Available.',
      listType: 'map',
      listMapKeys: ['type'],
      mergeKey: 'type',
      patchStrategy: 'merge',
    }),
  }),
)
export type APIServiceStatus = Infer<typeof apiServiceStatus>
const apiServiceCondition = obj(
  'io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceCondition',
  'One observed aspect of an APIService.',
  () => ({
    type: req(1, str(), { doc: 'Name of the aspect.', default: '' }),
    status: req(2, str(), { doc: 'True, False or Unknown.', default: '' }),
    lastTransitionTime: opt(3, time(), { doc: 'When status last changed.' }),
    reason: opt(4, str(), { doc: 'One word for why.' }),
    message: opt(5, str(), { doc: 'Why, for people.' }),
  }),
)
export type APIServiceCondition = Infer<typeof apiServiceCondition>

export const apiService = resource<APIService>({
  ...apiServices,
  schema: apiServiceSchema,
  singular: 'apiservice',
  categories: ['api-extensions'],
  hasStatus: true,
  statusKeeps: 'metadata',
  allowUnconditionalUpdate: false,
  statusResetFields: [['f:metadata'], ['f:spec']],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  columns: [
    nameColumn,
    {
      name: 'Service',
      type: 'string',
      doc: 'Who serves it',
      cell: ({ spec: { service: s } }) => (s ? `${s.namespace ?? ''}/${s.name ?? ''}` : 'Local'),
    },
    { name: 'Available', type: 'string', doc: 'Whether it is served', cell: availability },
    ageColumn,
  ],
  defaults: ({ spec }) => {
    if (spec.service) spec.service.port ??= 443
  },
  prepareForCreate: s => {
    s.status = s.spec.service ? {} : { conditions: [localAvailable()] }
  },
  validateName: name => nameIsPathSegment(name, false),
  validate: validateAPIService,
  validateUpdate: (s, _old, at, ctx) => (ctx.subresource === 'status' ? validateStatus(s.status ?? {}, at.child('status')) : []),
})

/** What this server serves itself is available from the start. */
const localAvailable = (): APIServiceCondition => ({
  type: 'Available',
  status: 'True',
  lastTransitionTime: formatTime(),
  reason: 'Local',
  message: 'Local APIServices are always available',
})

function availability({ status }: APIService): string {
  const found = status?.conditions?.find(c => c.type === 'Available')
  if (!found) return 'Unknown'
  return found.status === 'True' || !found.reason ? found.status : `${found.status} (${found.reason})`
}

function validateAPIService({ metadata, spec }: APIService, at: Path): FieldError[] {
  const { group = '', version = '', service } = spec
  const name = `${version}.${group}`
  const here = at.child('spec')
  const errors: FieldError[] = []
  if (metadata.name && nameIsPathSegment(metadata.name, false).length === 0 && metadata.name !== name)
    errors.push(invalid(at.child('metadata', 'name'), metadata.name, `must be \`spec.version+"."+spec.group\`: ${JSON.stringify(name)}`))
  if (group !== '') errors.push(...isDNS1123Subdomain(group).map(m => invalid(here.child('group'), group, m)))
  else if (version !== 'v1') errors.push(required(here.child('group'), 'only v1 may have an empty group and it better be legacy kube'))
  errors.push(...isDNS1035Label(version).map(m => invalid(here.child('version'), version, m)))
  for (const [field, most] of [
    ['groupPriorityMinimum', 20_000],
    ['versionPriority', 1000],
  ] as const) {
    const value = spec[field] ?? 0
    if (value <= 0 || value > most) errors.push(invalid(here.child(field), value, `must be positive and less than ${most}`))
  }
  const insecureAt = here.child('insecureSkipTLSVerify')
  if (!service) {
    if (spec.caBundle)
      errors.push(
        invalid(
          here.child('caBundle'),
          `${Buffer.from(spec.caBundle, 'base64').length} bytes`,
          'local APIServices may not have a caBundle',
        ),
      )
    if (spec.insecureSkipTLSVerify) errors.push(invalid(insecureAt, true, 'local APIServices may not have insecureSkipTLSVerify'))
    return errors
  }
  for (const field of ['namespace', 'name'] as const) if (!service[field]) errors.push(required(here.child('service', field)))
  const badPort = isPortNumber(service.port ?? 0)
  if (badPort.length > 0) errors.push(invalid(here.child('service', 'port'), service.port ?? 0, `port is not valid: ${badPort.join(', ')}`))
  if (spec.insecureSkipTLSVerify && spec.caBundle) errors.push(invalid(insecureAt, true, 'may not be true if caBundle is present'))
  return errors
}

const statuses = ['True', 'False', 'Unknown']
const validateStatus = (status: APIServiceStatus, at: Path): FieldError[] =>
  (status.conditions ?? []).flatMap((c, i) =>
    statuses.includes(c.status) ? [] : [notSupported(at.child('conditions').index(i).child('status'), c.status, statuses)],
  )
