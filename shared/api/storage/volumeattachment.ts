/** storage.k8s.io/v1 VolumeAttachment: that a volume be attached to a node. https://kubernetes.io/docs/concepts/storage/ */
import { forbidden, invalid, required, tooLong, type FieldError, type Path } from '../../machinery/field.ts'
import { isDNS1123Subdomain } from '../../machinery/names.ts'
import { bool, int32, map, obj, opt, req, str, time, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { persistentVolumeSpec } from '../core/persistentvolume.ts'
import { validateInlineVolumeSpec } from '../core/persistentvolumevalidation.ts'
import { csiDriverName } from '../core/podspec/storagevalidation.ts'
import { volumeAttachments } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { validateImmutable } from '../meta/validation.ts'
import { resource } from '../resource.ts'

const volumeAttachmentSchema = obj('io.k8s.api.storage.v1.VolumeAttachment', 'That a volume be attached to a node.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: req(2, volumeAttachmentSpec, { doc: 'What to attach, and where.', default: {} }),
  status: opt(3, volumeAttachmentStatus, { doc: 'Whether it is attached.', default: {} }),
}))
export type VolumeAttachment = Stored<Infer<typeof volumeAttachmentSchema>>
const volumeAttachmentSpec = obj('io.k8s.api.storage.v1.VolumeAttachmentSpec', 'What to attach, and where.', () => ({
  attacher: req(1, str(), { doc: 'The driver that does it.', default: '' }),
  source: req(2, volumeAttachmentSource, { doc: 'The volume.', default: {} }),
  nodeName: req(3, str(), { doc: 'The node.', default: '' }),
}))
export type VolumeAttachmentSpec = Infer<typeof volumeAttachmentSpec>
const volumeAttachmentSource = obj(
  'io.k8s.api.storage.v1.VolumeAttachmentSource',
  'A volume: one that is there, or its specification.',
  () => ({
    persistentVolumeName: opt(1, str(), { doc: 'Name of the volume.', pointer: true }),
    inlineVolumeSpec: opt(2, persistentVolumeSpec, { doc: 'A volume of a pod, as if it were a persistent one.' }),
  }),
)
const volumeAttachmentStatus = obj('io.k8s.api.storage.v1.VolumeAttachmentStatus', 'How far an attachment is.', () => ({
  attached: req(1, bool(), { doc: 'Whether it is attached.' }),
  attachmentMetadata: opt(2, map(str()), { doc: 'What the driver says that mounting needs.' }),
  attachError: opt(3, volumeError, { doc: 'The last error of attaching.' }),
  detachError: opt(4, volumeError, { doc: 'The last error of detaching.' }),
}))
export type VolumeAttachmentStatus = Infer<typeof volumeAttachmentStatus>
const volumeError = obj('io.k8s.api.storage.v1.VolumeError', 'An error of a driver.', () => ({
  time: opt(1, time(), { doc: 'When it happened.' }),
  message: opt(2, str(), { doc: 'What happened; without secrets.' }),
  errorCode: opt(3, int32(), { doc: 'Code of the error (gRPC).' }),
}))

export const volumeAttachment = resource<VolumeAttachment>({
  ...volumeAttachments,
  schema: volumeAttachmentSchema,
  singular: 'volumeattachment',
  hasStatus: true,
  statusKeeps: 'metadata',
  allowUnconditionalUpdate: false,
  statusResetFields: [['f:metadata'], ['f:spec']],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  columns: [
    nameColumn,
    { name: 'Attacher', type: 'string', format: 'name', doc: 'The driver that does it', cell: a => a.spec.attacher },
    { name: 'PV', type: 'string', doc: 'The volume', cell: a => a.spec.source?.persistentVolumeName ?? '' },
    { name: 'Node', type: 'string', doc: 'The node', cell: a => a.spec.nodeName },
    { name: 'Attached', type: 'boolean', doc: 'Whether it is attached', cell: a => a.status?.attached ?? false },
    ageColumn,
  ],
  prepareForCreate: a => {
    a.status = { attached: false }
  },
  validate: (a, at) => validateSpec(a.spec, at.child('spec')),
  validateCreate: (a, at) => [
    ...csiDriverName(a.spec.attacher ?? '', at.child('spec', 'attacher')),
    ...(a.spec.source?.persistentVolumeName === undefined
      ? []
      : dnsSubdomain(a.spec.source.persistentVolumeName, at.child('spec', 'source', 'persistentVolumeName'))),
  ],
  validateUpdate: (a, old, at, ctx) =>
    ctx.subresource === 'status'
      ? validateStatus(a.status ?? { attached: false }, at.child('status'))
      : validateImmutable(a.spec, old.spec, at.child('spec')),
})

const dnsSubdomain = (name: string, at: Path): FieldError[] => isDNS1123Subdomain(name).map(m => invalid(at, name, m))

function validateSpec({ attacher, source = {}, nodeName = '' }: VolumeAttachmentSpec, at: Path): FieldError[] {
  const errors = attacher ? [] : [required(at.child('attacher'))]
  const here = at.child('source')
  const { persistentVolumeName: name, inlineVolumeSpec: inline } = source
  const one = 'must specify exactly one of inlineVolumeSpec and persistentVolumeName'
  if (name === undefined && !inline) errors.push(required(here, one))
  else if (name !== undefined && inline) errors.push(forbidden(here, one))
  else if (name === '') errors.push(required(here.child('persistentVolumeName'), 'must specify non empty persistentVolumeName'))
  else if (inline) errors.push(...validateInlineVolumeSpec(inline, here.child('inlineVolumeSpec')))
  return [...errors, ...dnsSubdomain(nodeName, at.child('nodeName'))]
}

const maxMetadata = 256 * 1024
const maxMessage = 1024

function validateStatus(status: VolumeAttachmentStatus, at: Path): FieldError[] {
  const entries = Object.entries(status.attachmentMetadata ?? {})
  const size = entries.reduce((n, [k, v]) => n + Buffer.byteLength(k) + Buffer.byteLength(v), 0)
  const errors = size > maxMetadata ? [tooLong(at.child('attachmentMetadata'), maxMetadata)] : []
  for (const field of ['attachError', 'detachError'] as const)
    if (Buffer.byteLength(status[field]?.message ?? '') > maxMessage) errors.push(tooLong(at.child(field, 'message'), maxMessage))
  return errors
}
