/**
 * certificates.k8s.io/v1beta1 ClusterTrustBundle: certificates of authorities that everybody may read, of a signer or of nobody in
 * particular. Upstream serves it when the gate ClusterTrustBundle is on, which it is not by default.
 * https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#cluster-trust-bundles
 */
import { X509Certificate } from 'node:crypto'
import { pemBlocks, type PemBlock } from '../../certificates/pem.ts'
import { invalid, tooLong, type FieldError, type Path } from '../../machinery/field.ts'
import { nameIsDNSSubdomain } from '../../machinery/names.ts'
import { obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { nameColumn } from '../columns.ts'
import { clusterTrustBundles } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { validateImmutable } from '../meta/validation.ts'
import { resource } from '../resource.ts'
import { validateSignerName } from './validation.ts'

const type = (name: string): string => `io.k8s.api.certificates.v1beta1.${name}`
const trustBundleSpec = obj(type('ClusterTrustBundleSpec'), 'A signer and its trust anchors.', () => ({
  signerName: opt(1, str(), { doc: 'Whose they are; then the name of the object begins with it, and setting it takes the verb attest.' }),
  trustBundle: req(2, str(), { doc: 'Certificates of authorities, in PEM.', default: '' }),
}))
const trustBundleSchema = obj(type('ClusterTrustBundle'), 'Trust anchors that everybody may read.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: req(2, trustBundleSpec, { doc: 'Whose, and which.', default: {} }),
}))
export type ClusterTrustBundle = Stored<Infer<typeof trustBundleSchema>>

export const clusterTrustBundle = resource<ClusterTrustBundle>({
  ...clusterTrustBundles,
  schema: trustBundleSchema,
  singular: 'clustertrustbundle',
  allowUnconditionalUpdate: false,
  columns: [nameColumn, { name: 'SignerName', type: 'string', doc: 'Whose they are.', cell: b => b.spec.signerName || '<none>' }],
  fields: { 'spec.signerName': b => b.spec.signerName ?? '' },
  // It follows from the signer: validateNames.
  validateName: () => [],
  validate: (bundle, at) => [
    ...validateNames(bundle, at.child('metadata')),
    ...(bundle.spec.signerName ? validateSignerName(bundle.spec.signerName, at.child('spec', 'signerName')) : []),
  ],
  validateCreate: ({ spec }, at) => validateAnchors(spec.trustBundle, at.child('spec', 'trustBundle')),
  validateUpdate: ({ spec }, old, at) => [
    // What is stored may have been read in another way when it was written.
    ...(spec.trustBundle === old.spec.trustBundle ? [] : validateAnchors(spec.trustBundle, at.child('spec', 'trustBundle'))),
    ...validateImmutable(spec.signerName ?? '', old.spec.signerName ?? '', at.child('spec', 'signerName')),
  ],
})

/** ValidateClusterTrustBundleName of pkg/apis/core/validation/names.go. */
function wrongName(name: string, isPrefix: boolean, signer: string): string[] {
  const prefix = `${signer.replaceAll('/', ':')}:`
  if (signer !== '')
    return name.startsWith(prefix)
      ? nameIsDNSSubdomain(name.slice(prefix.length), isPrefix)
      : [`ClusterTrustBundle for signerName ${signer} must be named with prefix ${prefix}`]
  return name.includes(':') ? ['ClusterTrustBundle without signer name must not have ":" in its name'] : nameIsDNSSubdomain(name, isPrefix)
}

function validateNames({ metadata: { generateName = '', name = '' }, spec }: ClusterTrustBundle, at: Path): FieldError[] {
  const wrong = (field: string, value: string): FieldError[] =>
    value === '' ? [] : wrongName(value, field === 'generateName', spec.signerName ?? '').map(why => invalid(at.child(field), value, why))
  return [...wrong('generateName', generateName), ...wrong('name', name)]
}

const maxBytes = 1 << 20

/** validateTrustBundle of pkg/apis/certificates/validation/validation.go. */
function validateAnchors(text: string, at: Path): FieldError[] {
  if (Buffer.byteLength(text) > maxBytes) return [tooLong(at, maxBytes)]
  const wrong = (why: string): FieldError => invalid(at, '<value omitted>', why)
  const blocks = pemBlocks(text)
  const unfit = blocks.flatMap((block, i) => {
    const why = unfitAnchor(block)
    return why === undefined ? [] : [wrong(`entry ${i} ${why}`)]
  })
  if (unfit.length > 0) return unfit
  if (blocks.length === 0) return [wrong('at least one trust anchor must be provided')]
  const places = Map.groupBy(blocks.keys(), i => blocks[i]!.der.toString('base64'))
  return [...places.values()].filter(p => p.length > 1).map(p => wrong(`duplicate trust anchor (indices [${p.join(' ')}])`))
}

function unfitAnchor({ type, hasHeaders, der }: PemBlock): string | undefined {
  if (type !== 'CERTIFICATE') return `has bad block type: ${type}`
  if (hasHeaders) return 'has PEM block headers'
  try {
    return new X509Certificate(der).ca ? undefined : 'does not have the CA bit set'
  } catch {
    return 'does not parse as X.509'
  }
}
