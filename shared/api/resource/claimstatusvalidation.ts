/** Rules of the status of a resource claim: the scheduler allocates, drivers tell of devices (pkg/apis/resource/validation). */
import { forbidden, invalid, required, tooLong, type FieldError, type Path } from '../../machinery/field.ts'
import { parseCIDR } from '../../machinery/ip.ts'
import { isDNS1123Label } from '../../machinery/names.ts'
import { validateNodeSelector } from '../core/podspec/affinityvalidation.ts'
import { semanticEqual, validateConditions, validateImmutable } from '../meta/validation.ts'
import { validateConfiguration, validateDriverName, validateSet } from './claimvalidation.ts'
import type { AllocatedDeviceStatus, AllocationResult, ResourceClaim } from './resourceclaim.ts'
import { validatePoolName } from './slicevalidation.ts'

export function validateClaimStatus(claim: ResourceClaim, old: ResourceClaim, at: Path): FieldError[] {
  const { allocation, reservedFor = [], devices } = claim.status ?? {}
  const was = old.status?.allocation
  const errors = was && allocation ? validateImmutable(allocation, was, at.child('allocation')) : []
  if (allocation && !was) errors.push(...validateAllocation(allocation, at.child('allocation')))
  const reservedAt = at.child('reservedFor')
  errors.push(
    ...validateSet(
      reservedFor,
      256,
      reservedAt,
      (c, here) => (['resource', 'name', 'uid'] as const).filter(f => !c[f]).map(f => required(here.child(f))),
      c => c.uid,
    ),
  )
  if (reservedFor.length > 0 && !allocation) errors.push(forbidden(reservedAt, 'may not be specified when `allocated` is not set'))
  const known = old.status?.reservedFor ?? []
  if (claim.metadata.deletionTimestamp && reservedFor.some(c => !known.some(k => semanticEqual(k, c))))
    errors.push(forbidden(reservedAt, 'new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set'))
  const names = new Set((allocation?.devices?.results ?? []).map(nameOf))
  return [...errors, ...validateSet(devices, Infinity, at.child('devices'), (d, here) => validateDevice(d, names, here), nameOf)]
}

const nameOf = (d: { driver: string; pool: string; device: string; shareID?: string | undefined }): string =>
  [d.driver, d.pool, d.device, ...(d.shareID === undefined ? [] : [d.shareID])].join('/')

const validateAllocation = ({ devices, nodeSelector }: AllocationResult, at: Path): FieldError[] => [
  ...validateSet(devices?.results, 32, at.child('devices', 'results'), (r, here) => [
    ...(r.request ? [] : [required(here.child('request'))]),
    ...validateDriverName(r.driver ?? '', here.child('driver')),
    ...validatePoolName(r.pool ?? '', here.child('pool')),
    ...isDNS1123Label(r.device ?? '').map(m => invalid(here.child('device'), r.device ?? '', m)),
  ]),
  ...validateSet(devices?.config, 64, at.child('devices', 'config'), validateConfiguration),
  ...(nodeSelector ? validateNodeSelector(nodeSelector, at.child('nodeSelector')) : []),
]

const maxData = 10 * 1024
function validateDevice(device: AllocatedDeviceStatus, allocated: ReadonlySet<string>, at: Path): FieldError[] {
  const errors = allocated.has(nameOf(device)) ? [] : [invalid(at, nameOf(device), 'must be an allocated device in the claim')]
  errors.push(...validateConditions(device.conditions, at.child('conditions')))
  if (device.data !== undefined) {
    if (Buffer.byteLength(JSON.stringify(device.data)) > maxData) errors.push(tooLong(at.child('data'), maxData))
    else if (typeof device.data !== 'object') errors.push(invalid(at.child('data'), '<value omitted>', 'must be a valid JSON object'))
  }
  const { interfaceName = '', hardwareAddress = '', ips } = device.networkData ?? {}
  const network = at.child('networkData')
  if (interfaceName.length > 256) errors.push(tooLong(network.child('interfaceName'), 256))
  if (hardwareAddress.length > 128) errors.push(tooLong(network.child('hardwareAddress'), 128))
  const address = (ip: string, here: Path): FieldError[] =>
    parseCIDR(ip) ? [] : [invalid(here, ip, 'must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)')]
  return [...errors, ...validateSet(ips, 16, network.child('ips'), address, ip => ip)]
}
