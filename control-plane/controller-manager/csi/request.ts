/** What a driver is asked for when a claim is to get a volume. external-provisioner pkg/controller/controller.go prepareProvision */
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import type { VolumeAttributesClass } from '#shared/api/storage/volumeattributesclass.ts'
import type { Client } from '#shared/client/client.ts'
import type { Informer } from '#shared/client/informer.ts'
import { accessModeOf, capabilityOf } from '#shared/csi/capability.ts'
import { ControllerRpc, PluginService } from '#shared/csi/messages.ts'
import { quantityValue } from '#shared/machinery/quantity.ts'
import { selectedNode } from '#shared/storage/annotations.ts'
import type { DataSource } from './datasource.ts'
import { secretOf, type Abilities, type Csi, type Segments } from './driver.ts'
import { driverParameters, fsTypeOf, secretRefOf } from './parameters.ts'
import { requirementOf, segmentsOf } from './topology.ts'

/** On claims: their driver may have a volume that is not in the API. */
export const claimFinalizer = 'csi.coxswain.io/provisioning'
export const volumeName = ({ metadata }: PersistentVolumeClaim): string => `pvc-${metadata.uid}`

/** Throws, in upstream's words, why the driver is not even asked. */
export function examine({ spec }: PersistentVolumeClaim, { rpcs, services }: Abilities): void {
  const need = (can: boolean, what: string, lacking: string): void => {
    if (!can) throw new Error(`CSI driver does not support ${what}: ${lacking} capability is not reported`)
  }
  need(services.has(PluginService.controller), 'dynamic provisioning', 'plugin CONTROLLER_SERVICE')
  need(rpcs.has(ControllerRpc.createDeleteVolume), 'dynamic provisioning', 'controller CREATE_DELETE_VOLUME')
  const source = spec.dataSource?.kind
  if (source === 'VolumeSnapshot')
    need(rpcs.has(ControllerRpc.createDeleteSnapshot), 'snapshot restore', 'controller CREATE_DELETE_SNAPSHOT')
  if (source === 'PersistentVolumeClaim') need(rpcs.has(ControllerRpc.cloneVolume), 'clone operations', 'controller CLONE_VOLUME')
  if (spec.volumeAttributesClassName) need(rpcs.has(ControllerRpc.modifyVolume), 'VolumeAttributesClass', 'controller MODIFY_VOLUME')
  if (spec.selector) throw new Error('claim Selector is not supported')
}

interface World {
  readonly client: Client
  readonly csi: Csi
  readonly attributes: Informer<VolumeAttributesClass>
}
/** The request, and the topologies near which whoever carries it out is best. Throws when it cannot be made. */
export async function requestOf(claim: PersistentVolumeClaim, storageClass: StorageClass, data: DataSource | undefined, world: World) {
  const { client, csi } = world
  const { parameters, provisioner: driver } = storageClass
  const { rpcs, services } = await csi.abilities(client, driver)
  const limit = claim.spec.resources?.limits?.['storage']
  const requirement = services.has(PluginService.accessibilityConstraints) ? accessibilityOf(claim, storageClass, csi) : undefined
  return {
    near: (requirement?.preferred ?? []).map((t): Segments => t.segments ?? {}),
    question: {
      name: volumeName(claim),
      capacityRange: {
        requiredBytes: quantityValue(claim.spec.resources?.requests?.['storage'] ?? '0'),
        ...(limit === undefined ? {} : { limitBytes: quantityValue(limit) }),
      },
      volumeCapabilities: (claim.spec.accessModes ?? []).map(mode =>
        capabilityOf({
          mode: accessModeOf(mode, rpcs.has(ControllerRpc.singleNodeMultiWriter)),
          block: claim.spec.volumeMode === 'Block',
          fsType: fsTypeOf(parameters),
          mountFlags: storageClass.mountOptions,
        }),
      ),
      parameters: driverParameters(parameters),
      secrets: await secretOf(client, secretRefOf('provisioner', parameters, volumeName(claim), claim)),
      ...(data ? { volumeContentSource: data.content } : {}),
      ...(requirement ? { accessibilityRequirements: requirement } : {}),
      mutableParameters: mutableOf(claim, driver, world),
    },
  }
}

function accessibilityOf(claim: PersistentVolumeClaim, storageClass: StorageClass, csi: Csi) {
  const of = (node: string): Segments | undefined =>
    segmentsOf(storageClass.provisioner, csi.csiNodes.get('', node), csi.nodes.get('', node))
  const segments = csi.csiNodes.list().flatMap<Segments>(n => of(n.metadata.name ?? '') ?? [])
  const chosen = claim.metadata.annotations?.[selectedNode]
  const selected = chosen === undefined ? undefined : of(chosen)
  if (chosen !== undefined && !selected) throw new Error(`no topology key found on CSINode ${chosen}`)
  const seed = Number.parseInt((claim.metadata.uid ?? '').replaceAll('-', '').slice(-8), 16) || 0
  const requirement = requirementOf(segments, storageClass, selected, seed)
  if (!requirement) throw new Error('error generating accessibility requirements: no available topology found')
  return requirement
}

function mutableOf({ spec }: PersistentVolumeClaim, driver: string, { attributes }: World): Record<string, string> {
  const name = spec.volumeAttributesClassName
  if (!name) return {}
  const found = attributes.get('', name)
  if (!found) throw new Error(`volumeattributesclass.storage.k8s.io ${JSON.stringify(name)} not found`)
  if (found.driverName !== driver)
    throw new Error(`VAC ${name} referenced in PVC is for driver ${found.driverName} which does not match driver name ${driver}`)
  return found.parameters ?? {}
}
