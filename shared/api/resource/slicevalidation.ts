/** Rules of resource slices (pkg/apis/resource/validation). */
import { invalid, notSupported, required, tooLong, type FieldError, type Path } from '../../machinery/field.ts'
import { isDNS1123Label, isDNS1123Subdomain, isLabelValue, isQualifiedName } from '../../machinery/names.ts'
import { validateNodeSelector } from '../core/podspec/affinityvalidation.ts'
import type { NodeSelector } from '../core/podspec/affinity.ts'
import { taintEffects, validateAttributeName, validateDriverName, validateSet } from './claimvalidation.ts'
import type { Device, DeviceAttribute, DeviceTaint, ResourceSliceSpec } from './resourceslice.ts'

const maxPoolName = 253
/** DNS subdomains with slashes between them. */
export function validatePoolName(name: string, at: Path): FieldError[] {
  if (name === '') return [required(at)]
  if (name.length > maxPoolName) return [tooLong(at, maxPoolName)]
  return name.split('/').flatMap(part => isDNS1123Subdomain(part).map(m => invalid(at, part, m)))
}

const places = ['nodeName', 'nodeSelector', 'allNodes', 'perDeviceNodeSelection'] as const

export function validateSlice(spec: ResourceSliceSpec, at: Path): FieldError[] {
  const pool = at.child('pool')
  const errors = [
    ...validateDriverName(spec.driver ?? '', at.child('driver')),
    ...validatePoolName(spec.pool?.name ?? '', pool.child('name')),
  ]
  const { resourceSliceCount = 0, generation = 0 } = spec.pool ?? {}
  if (resourceSliceCount <= 0) errors.push(invalid(pool.child('resourceSliceCount'), resourceSliceCount, 'must be greater than zero'))
  if (generation < 0) errors.push(invalid(pool.child('generation'), generation, 'must be greater than or equal to zero'))
  errors.push(...validatePlace(spec, places, at))
  const counters = new Set((spec.sharedCounters ?? []).map(s => s.name))
  errors.push(
    ...validateSet(
      spec.devices,
      128,
      at.child('devices'),
      (d, here) => validateDevice(d, spec, counters, here),
      d => d.name,
    ),
    ...validateSet(
      spec.sharedCounters,
      8,
      at.child('sharedCounters'),
      (s, here) => [
        ...isDNS1123Label(s.name ?? '').map(m => invalid(here.child('name'), s.name ?? '', m)),
        ...(Object.keys(s.counters ?? {}).length === 0 ? [required(here.child('counters'))] : []),
      ],
      s => s.name,
    ),
  )
  return errors
}

/** Who can use devices: exactly one of the fields says so. */
function validatePlace(
  spec: {
    nodeName?: string | undefined
    nodeSelector?: NodeSelector | undefined
    allNodes?: boolean | undefined
    perDeviceNodeSelection?: boolean | undefined
  },
  fields: readonly (typeof places)[number][],
  at: Path,
): FieldError[] {
  const errors: FieldError[] = []
  const shown = fields.map(f => `\`${f}\``).join(', ')
  const set = fields.filter(f => spec[f] !== undefined && spec[f] !== false)
  if (spec.nodeName === '') errors.push(invalid(at.child('nodeName'), '', 'must be either unset or set to a non-empty string'))
  else if (spec.nodeName) errors.push(...isDNS1123Subdomain(spec.nodeName).map(m => invalid(at.child('nodeName'), spec.nodeName, m)))
  if (spec.nodeSelector) {
    const terms = spec.nodeSelector.nodeSelectorTerms ?? []
    if (terms.length !== 1)
      errors.push(invalid(at.child('nodeSelector', 'nodeSelectorTerms'), terms, 'must have exactly one node selector term'))
    else errors.push(...validateNodeSelector(spec.nodeSelector, at.child('nodeSelector')))
  }
  for (const field of ['allNodes', 'perDeviceNodeSelection'] as const)
    if (spec[field] === false) errors.push(invalid(at.child(field), false, 'must be either unset or set to true'))
  if (set.length > 1) errors.push(invalid(at, `{${set.join(', ')}}`, `exactly one of ${shown} is required, but multiple fields are set`))
  if (set.length === 0) errors.push(required(at, `exactly one of ${shown} is required`))
  return errors
}

const maxValues = 32
function validateDevice(device: Device, slice: ResourceSliceSpec, counterSets: ReadonlySet<string>, at: Path): FieldError[] {
  const errors = isDNS1123Label(device.name ?? '').map(m => invalid(at.child('name'), device.name ?? '', m))
  const [attributes, capacity] = [Object.entries(device.attributes ?? {}), Object.keys(device.capacity ?? {})]
  for (const [name, value] of attributes) {
    const here = at.child('attributes').key(name)
    errors.push(...validateAttributeName(name, here), ...validateAttribute(value, here))
  }
  for (const name of capacity) errors.push(...validateAttributeName(name, at.child('capacity').key(name)))
  const count = attributes.length + capacity.length
  if (count > maxValues) errors.push(invalid(at, count, `the total number of attributes and capacities must not exceed ${maxValues}`))
  errors.push(...validateSet(device.taints, 16, at.child('taints'), validateTaint))
  errors.push(
    ...validateSet(device.consumesCounters, 2, at.child('consumesCounters'), (c, here) => {
      if (!c.counterSet) return [required(here.child('counterSet'))]
      return counterSets.size === 0 || counterSets.has(c.counterSet)
        ? []
        : [invalid(here.child('counterSet'), c.counterSet, 'must reference a counterSet defined in the ResourceSlice sharedCounters')]
    }),
  )
  if (slice.perDeviceNodeSelection) errors.push(...validatePlace(device, ['nodeName', 'nodeSelector', 'allNodes'], at))
  else
    for (const field of ['nodeName', 'nodeSelector', 'allNodes'] as const)
      if (device[field] !== undefined)
        errors.push(invalid(at.child(field), device[field], 'can only be specified when `perDeviceNodeSelection` is set to true'))
  return errors
}

const maxText = 64
const semver =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$/
function validateAttribute(value: DeviceAttribute, at: Path): FieldError[] {
  const set = Object.values(value).filter(v => v !== undefined)
  const errors: FieldError[] = []
  for (const field of ['string', 'version'] as const)
    if (Buffer.byteLength(value[field] ?? '') > maxText) errors.push(tooLong(at.child(field), maxText))
  if (value.version !== undefined && !semver.test(value.version))
    errors.push(invalid(at.child('version'), value.version, 'must be a string compatible with semver.org spec 2.0.0'))
  if (set.length === 0) errors.push(required(at, 'exactly one value must be specified'))
  if (set.length > 1) errors.push(invalid(at, value, 'exactly one value must be specified'))
  return errors
}

function validateTaint({ key = '', value = '', effect = '' }: DeviceTaint, at: Path): FieldError[] {
  const errors = isQualifiedName(key).map(m => invalid(at.child('key'), key, m))
  if (value !== '') errors.push(...isLabelValue(value).map(m => invalid(at.child('value'), value, m)))
  if (effect === '') errors.push(required(at.child('effect')))
  else if (!taintEffects.includes(effect)) errors.push(notSupported(at.child('effect'), effect, taintEffects))
  return errors
}
