/** core/v1 Secret: confidential data for pods. https://kubernetes.io/docs/concepts/configuration/secret/ */
import { invalid, required, tooLong, type FieldError, type Path } from '../../machinery/field.ts'
import { isConfigMapKey } from '../../machinery/names.ts'
import { bool, bytes, map, obj, opt, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { secrets } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { validateImmutable } from '../meta/validation.ts'
import { resource } from '../resource.ts'
import { decodedLength, maxDataBytes, validateStillImmutable } from './configmap.ts'

const secretSchema = obj('io.k8s.api.core.v1.Secret', 'Confidential data for pods.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  immutable: opt(5, bool(), { doc: 'When true the data cannot change any more.' }),
  data: opt(2, map(bytes()), { doc: 'Values in base64.' }),
  stringData: opt(4, map(str()), { doc: 'Values in plain text, merged into data when written; never shown.' }),
  type: opt(3, str(), { doc: 'What the secret is for; tells which keys it must have.' }),
}))
export type Secret = Stored<Infer<typeof secretSchema>>

export const secret = resource<Secret>({
  ...secrets,
  schema: secretSchema,
  singular: 'secret',
  columns: [
    nameColumn,
    { name: 'Type', type: 'string', doc: 'What it is for', cell: s => s.type ?? '' },
    { name: 'Data', type: 'string', doc: 'How many keys it has', cell: s => Object.keys(s.data ?? {}).length },
    ageColumn,
  ],
  fields: { type: s => s.type ?? '' },
  defaults: s => {
    s.type ||= 'Opaque'
    if (!s.stringData) return
    s.data = { ...s.data }
    for (const [key, value] of Object.entries(s.stringData)) s.data[key] = Buffer.from(value).toString('base64')
    delete s.stringData
  },
  validate: validateSecret,
  validateUpdate: (s, old, at) => [
    ...validateImmutable(s.type, old.type, at.child('type')),
    ...validateStillImmutable(s, old, ['data'], at),
  ],
})

function validateSecret(s: Secret, at: Path): FieldError[] {
  const data = s.data ?? {}
  const path = at.child('data')
  const errors: FieldError[] = []
  let bytes = 0
  for (const [key, value] of Object.entries(data)) {
    errors.push(...isConfigMapKey(key).map(e => invalid(path.key(key), key, e)))
    bytes += decodedLength(value)
  }
  if (bytes > maxDataBytes) errors.push(tooLong(path, maxDataBytes))
  return [...errors, ...validateSecretType(s, data, at)]
}

/** The keys that a secret of a well-known type must have. */
function validateSecretType(s: Secret, data: { [key: string]: string }, at: Path): FieldError[] {
  const missing = (...keys: string[]): FieldError[] => keys.filter(k => !Object.hasOwn(data, k)).map(k => required(at.child('data').key(k)))
  switch (s.type) {
    case 'kubernetes.io/service-account-token': {
      const name = 'kubernetes.io/service-account.name'
      return s.metadata.annotations?.[name] ? [] : [required(at.child('metadata', 'annotations').key(name))]
    }
    case 'kubernetes.io/dockercfg':
      return missing('.dockercfg').concat(validateJSONObject(data, '.dockercfg', at))
    case 'kubernetes.io/dockerconfigjson':
      return missing('.dockerconfigjson').concat(validateJSONObject(data, '.dockerconfigjson', at))
    case 'kubernetes.io/basic-auth': {
      const both = missing('username', 'password')
      return both.length === 2 ? both : []
    }
    case 'kubernetes.io/ssh-auth':
      return data['ssh-privatekey'] ? [] : [required(at.child('data').key('ssh-privatekey'))]
    case 'kubernetes.io/tls':
      return missing('tls.crt', 'tls.key')
    default:
      return []
  }
}

function validateJSONObject(data: { [key: string]: string }, key: string, at: Path): FieldError[] {
  if (!Object.hasOwn(data, key)) return []
  const bad = (why: string): FieldError[] => [invalid(at.child('data').key(key), '<secret contents redacted>', why)]
  const text = Buffer.from(data[key]!, 'base64').toString()
  if (text === '') return bad('unexpected end of JSON input')
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && !Array.isArray(value)
      ? []
      : bad('json: cannot unmarshal value into Go value of type map[string]interface {}')
  } catch {
    return bad('invalid character looking for beginning of value')
  }
}
