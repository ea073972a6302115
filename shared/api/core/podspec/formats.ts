/** The formats of pod specs as field errors, and those that only pods know: paths inside volumes, file modes. */
import { invalid, type FieldError, type Path } from '../../../machinery/field.ts'
import {
  isConfigMapKey,
  isDNS1123Label,
  isDNS1123Subdomain,
  isEnvVarName,
  isHTTPHeaderName,
  isId,
  isPortName,
  isPortNumber,
  isQualifiedName,
  nameIsDNSSubdomain,
} from '../../../machinery/names.ts'

const check =
  (messages: (value: string) => string[]) =>
  (value: string, path: Path): FieldError[] =>
    messages(value).map(m => invalid(path, value, m))

export const dns1123Label = check(isDNS1123Label)
export const dns1123Subdomain = check(isDNS1123Subdomain)
/** A name to which something may be appended. */
export const dns1123SubdomainPrefix = check(value => nameIsDNSSubdomain(value, true))
/** Also label keys. */
export const qualifiedName = check(isQualifiedName)
export const configMapKey = check(isConfigMapKey)
export const envVarName = check(isEnvVarName)
export const httpHeaderName = check(isHTTPHeaderName)
const portName = check(isPortName)

export const portNumber = (value: number, path: Path): FieldError[] => isPortNumber(value).map(m => invalid(path, value, m))
/** An IntOrString that names a port. */
export const portNumberOrName = (port: number | string | undefined, path: Path): FieldError[] =>
  typeof port === 'string' ? portName(port, path) : portNumber(port ?? 0, path)

export const nonNegative = (value: number | undefined, path: Path): FieldError[] =>
  (value ?? 0) < 0 ? [invalid(path, value, 'must be greater than or equal to 0')] : []
export const userOrGroupId = (id: number | undefined, path: Path): FieldError[] =>
  id === undefined ? [] : isId(id).map(m => invalid(path, id, m))
export const fileMode = (mode: number | undefined, path: Path): FieldError[] =>
  mode === undefined || (mode >= 0 && mode <= 0o777)
    ? []
    : [invalid(path, mode, 'must be a number between 0 and 0777 (octal), both inclusive')]

export const noBacksteps = (p: string, path: Path): FieldError[] =>
  p.split('/').includes('..') ? [invalid(path, p, "must not contain '..'")] : []
/** A path that is relative and stays below where it starts. */
export const localPath = (p: string, path: Path): FieldError[] => [
  ...(p.startsWith('/') ? [invalid(path, p, 'must be a relative path')] : []),
  ...noBacksteps(p, path),
]
/** The same, and no name that volumes reserve (`..data`). */
export const localNonReservedPath = (p: string, path: Path): FieldError[] => [
  ...localPath(p, path),
  ...(p.startsWith('..') && !p.startsWith('../') ? [invalid(path, p, "must not start with '..'")] : []),
]
