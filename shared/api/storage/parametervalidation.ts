/** Rules of provisioners and their parameters, which storage classes and classes of volume attributes share. */
import { invalid, required, tooLong, type FieldError, type Path } from '../../machinery/field.ts'
import { isQualifiedName } from '../../machinery/names.ts'

const maxParameters = 512
const maxBytes = 256 * 1024

export const validateProvisioner = (name: string | undefined, at: Path): FieldError[] =>
  name ? isQualifiedName(name.toLowerCase()).map(m => invalid(at, name, m)) : [required(at)]

export function validateParameters(parameters: { readonly [name: string]: string } | undefined, at: Path): FieldError[] {
  const entries = Object.entries(parameters ?? {})
  if (entries.length > maxParameters) return [tooLong(at, maxParameters)]
  const errors = entries.filter(([name]) => name === '').map(() => invalid(at, '', 'field can not be empty.'))
  const size = entries.reduce((n, [k, v]) => n + Buffer.byteLength(k) + Buffer.byteLength(v), 0)
  return size > maxBytes ? [...errors, tooLong(at, maxBytes)] : errors
}
