/**
 * resource.k8s.io/v1 DeviceClass: a kind of devices.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
 */
import { inline, list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { deviceClasses } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { validateDeviceClass } from './claimvalidation.ts'
import { deviceConfiguration, deviceSelector } from './devicerequest.ts'

const deviceClassSchema = obj('io.k8s.api.resource.v1.DeviceClass', 'A kind of devices that claims may ask for.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: req(2, deviceClassSpec, { doc: 'Which devices, and how they are set up.', default: {} }),
}))
export type DeviceClass = Stored<Infer<typeof deviceClassSchema>>
const deviceClassSpec = obj('io.k8s.api.resource.v1.DeviceClassSpec', 'Which devices are of a class, and how they are set up.', () => ({
  selectors: opt(1, list(deviceSelector), { doc: 'What a device must be.', listType: 'atomic' }),
  config: opt(2, list(deviceClassConfiguration), { doc: 'Settings for its devices.', listType: 'atomic' }),
  extendedResourceName: opt(4, str(), { doc: 'Name of an extended resource that stands for a device of the class.', pointer: true }),
}))
export type DeviceClassSpec = Infer<typeof deviceClassSpec>
const deviceClassConfiguration = obj('io.k8s.api.resource.v1.DeviceClassConfiguration', 'Settings for the devices of a class.', () => ({
  ...inline(1, deviceConfiguration),
}))

export const deviceClass = resource<DeviceClass>({
  ...deviceClasses,
  schema: deviceClassSchema,
  singular: 'deviceclass',
  hasGeneration: true,
  validate: (c, at) => validateDeviceClass(c.spec, at.child('spec')),
})
