/**
 * Rules of what claims ask for and of device classes (pkg/apis/resource/validation). CEL expressions must be there and short; the API
 * server compiles them.
 */
import { duplicate, invalid, notSupported, required, tooLong, tooMany, type FieldError, type Path } from '../../machinery/field.ts'
import { isDNS1123Label, isDNS1123Subdomain, isLabelValue, isQualifiedName } from '../../machinery/names.ts'
import { isExtendedResource } from '../core/resourcenames.ts'
import type { DeviceClassSpec } from './deviceclass.ts'
import type {
  DeviceConfiguration,
  DeviceConstraint,
  DeviceRequest,
  DeviceSelector,
  DeviceSubRequest,
  DeviceToleration,
  ResourceClaimSpec,
} from './devicerequest.ts'

/** A list of bounded length whose items, by `key`, are there once. */
export function validateSet<T>(
  items: readonly T[] | undefined,
  most: number,
  at: Path,
  rule: (item: T, at: Path) => FieldError[],
  key?: (item: T) => string,
): FieldError[] {
  const errors = (items?.length ?? 0) > most ? [tooMany(at, items!.length, most)] : []
  const seen = new Set<string>()
  items?.forEach((item, i) => {
    errors.push(...rule(item, at.index(i)))
    const name = key?.(item)
    if (name === undefined) return
    if (seen.has(name)) errors.push(duplicate(at.index(i), name))
    seen.add(name)
  })
  return errors
}

const label = (name: string, at: Path): FieldError[] => isDNS1123Label(name).map(m => invalid(at, name, m))
const subdomain = (name: string, at: Path): FieldError[] => isDNS1123Subdomain(name).map(m => invalid(at, name, m))
const maxDriverName = 63
export function validateDriverName(name: string, at: Path): FieldError[] {
  if (name === '') return [required(at)]
  return [...(name.length > maxDriverName ? [tooLong(at, maxDriverName)] : []), ...subdomain(name.toLowerCase(), at)]
}

const maxExpression = 10 * 1024
const validateSelectors = (selectors: readonly DeviceSelector[] | undefined, at: Path): FieldError[] =>
  validateSet(selectors, 32, at, ({ cel }, here) => {
    if (!cel) return [required(here.child('cel'))]
    const path = here.child('cel', 'expression')
    if (!cel.expression) return [required(path)]
    return Buffer.byteLength(cel.expression) > maxExpression ? [tooLong(path, maxExpression)] : []
  })

const maxParameters = 10 * 1024
export function validateConfiguration({ opaque }: DeviceConfiguration, at: Path): FieldError[] {
  if (!opaque) return [required(at.child('opaque'))]
  const errors = validateDriverName(opaque.driver ?? '', at.child('opaque', 'driver'))
  const path = at.child('opaque', 'parameters')
  const { parameters } = opaque
  if (parameters === undefined || parameters === null) errors.push(required(path))
  else if (Buffer.byteLength(JSON.stringify(parameters)) > maxParameters) errors.push(tooLong(path, maxParameters))
  else if (typeof parameters !== 'object' || Array.isArray(parameters))
    errors.push(invalid(path, '<value omitted>', 'parameters must be a valid JSON object'))
  return errors
}

export function validateDeviceClass(spec: DeviceClassSpec, at: Path): FieldError[] {
  const name = spec.extendedResourceName
  return [
    ...validateSelectors(spec.selectors, at.child('selectors')),
    ...validateSet(spec.config, 32, at.child('config'), validateConfiguration),
    ...(name !== undefined && !isExtendedResource(name)
      ? [invalid(at.child('extendedResourceName'), name, 'must be a valid extended resource name')]
      : []),
  ]
}

export function validateClaim({ devices = {} }: ResourceClaimSpec, at: Path): FieldError[] {
  const here = at.child('devices')
  const requests = devices.requests ?? []
  const names = new Set(requests.flatMap(r => [r.name, ...(r.firstAvailable ?? []).map(s => `${r.name}/${s.name}`)]))
  const ofClaim = (list: readonly string[] | undefined, path: Path): FieldError[] =>
    validateSet(
      list,
      32,
      path.child('requests'),
      (name, p) => validateReference(name, p, names),
      name => name,
    )
  return [
    ...validateSet(requests, 32, here.child('requests'), validateRequest, r => r.name),
    ...validateSet(devices.constraints, 32, here.child('constraints'), (c, path) => [
      ...ofClaim(c.requests, path),
      ...validateConstraint(c, path),
    ]),
    ...validateSet(devices.config, 32, here.child('config'), (c, path) => [
      ...ofClaim(c.requests, path),
      ...validateConfiguration(c, path),
    ]),
  ]
}

const notThere = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
function validateReference(name: string, at: Path, names: ReadonlySet<string>): FieldError[] {
  const parts = name.split('/')
  if (parts.length > 2) return [invalid(at, name, notThere)]
  return [...parts.flatMap(part => label(part, at)), ...(names.has(name) ? [] : [invalid(at, name, notThere)])]
}

function validateRequest({ name, exactly, firstAvailable = [] }: DeviceRequest, at: Path): FieldError[] {
  const errors = label(name ?? '', at.child('name'))
  const one = 'exactly one of `exactly` or `firstAvailable` is required'
  // What of both is meant nobody knows: neither is looked into.
  if (exactly && firstAvailable.length > 0) return [...errors, invalid(at, null, `${one}, but multiple fields are set`)]
  if (!exactly && firstAvailable.length === 0) errors.push(required(at, one))
  if (exactly) errors.push(...validateDevices(exactly, at.child('exactly')))
  errors.push(
    ...validateSet(
      firstAvailable,
      8,
      at.child('firstAvailable'),
      (sub, path) => [...label(sub.name ?? '', path.child('name')), ...validateDevices(sub, path)],
      sub => sub.name,
    ),
  )
  return errors
}

const modes = ['All', 'ExactCount']
function validateDevices(request: Omit<DeviceSubRequest, 'name'>, at: Path): FieldError[] {
  const { deviceClassName = '', allocationMode = '', count = 0 } = request
  const nameAt = at.child('deviceClassName')
  const errors = deviceClassName === '' ? [required(nameAt)] : subdomain(deviceClassName, nameAt)
  errors.push(...validateSelectors(request.selectors, at.child('selectors')))
  if (!modes.includes(allocationMode)) errors.push(notSupported(at.child('allocationMode'), allocationMode, modes))
  else if (allocationMode === 'All' && count !== 0)
    errors.push(invalid(at.child('count'), count, "must not be specified when allocationMode is 'All'"))
  else if (allocationMode === 'ExactCount' && count <= 0) errors.push(invalid(at.child('count'), count, 'must be greater than zero'))
  return [...errors, ...validateSet(request.tolerations, 16, at.child('tolerations'), validateToleration)]
}

export const taintEffects = ['NoExecute', 'NoSchedule', 'None']
const operators = ['Equal', 'Exists']
function validateToleration({ key = '', operator = '', value = '', effect = '' }: DeviceToleration, at: Path): FieldError[] {
  const errors = key === '' ? [] : isQualifiedName(key).map(m => invalid(at.child('key'), key, m))
  const valueAt = at.child('value')
  if (operator === '') errors.push(required(at.child('operator')))
  else if (!operators.includes(operator)) errors.push(notSupported(at.child('operator'), operator, operators))
  else if (operator === 'Exists') {
    if (value !== '') errors.push(invalid(valueAt, value, 'must be empty for operator `Exists`'))
  } else {
    errors.push(...isLabelValue(value).map(m => invalid(valueAt, value, m)))
    if (key === '') errors.push(required(at.child('key')))
  }
  if (effect !== '' && !taintEffects.includes(effect)) errors.push(notSupported(at.child('effect'), effect, taintEffects))
  return errors
}

function validateConstraint({ matchAttribute, distinctAttribute }: DeviceConstraint, at: Path): FieldError[] {
  if (matchAttribute === undefined && distinctAttribute === undefined) return [required(at.child('matchAttribute'))]
  const errors =
    matchAttribute !== undefined && distinctAttribute !== undefined
      ? [invalid(at, null, 'only one of `matchAttribute` or `distinctAttribute` may be set')]
      : []
  for (const [field, name] of [
    ['matchAttribute', matchAttribute],
    ['distinctAttribute', distinctAttribute],
  ] as const)
    if (name !== undefined) errors.push(...validateAttributeName(name, at.child(field), true))
  return errors
}

const maxDomain = 63
const maxId = 32
/** `[domain/]id`; the id is a C identifier. */
export function validateAttributeName(name: string, at: Path, domainNeeded = false): FieldError[] {
  if (name === '') return [required(at, 'name required')]
  const parts = name.split('/')
  if (parts.length > 2) return [invalid(at, name, 'must have at most one slash')]
  const [id = '', domain] = parts.reverse()
  const errors: FieldError[] = []
  if (domain === undefined) {
    if (domainNeeded) errors.push(invalid(at, name, 'must include a domain'))
  } else if (domain === '') errors.push(required(at, 'the domain must not be empty'))
  else errors.push(...(domain.length > maxDomain ? [tooLong(at, maxDomain)] : []), ...subdomain(domain, at))
  if (id === '') errors.push(required(at, 'the name must not be empty'))
  else if (id.length > maxId) errors.push(tooLong(at, maxId))
  else if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(id))
    errors.push(
      invalid(
        at,
        id,
        "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' " +
          "(e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')",
      ),
    )
  return errors
}
