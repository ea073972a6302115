/** What of a class's parameters is whose, and why a driver is not asked at all. */
import { expect, test } from 'vitest'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { ControllerRpc, PluginService } from '#shared/csi/messages.ts'
import { driverParameters, fsTypeOf, keepSecret, keptSecret, secretRefOf } from '#control-plane/controller-manager/csi/parameters.ts'
import { examine } from '#control-plane/controller-manager/csi/request.ts'

const own = 'csi.storage.k8s.io/'
const claim = { metadata: { name: 'data', namespace: 'team', annotations: { key: 'mine' } } }
const secret = (name: string, namespace: string, use = 'node-stage-') => ({
  [`${own}${use}secret-name`]: name,
  [`${own}${use}secret-namespace`]: namespace,
})

test('a driver gets what is not the provisioner’s', () => {
  expect(driverParameters({ kind: 'fast', [`${own}fstype`]: 'ext4', ...secret('a', 'b'), ...secret('a', 'b', '') })).toEqual({
    kind: 'fast',
  })
  const why = 'found unknown parameter key "csi.storage.k8s.io/typo" with reserved namespace csi.storage.k8s.io/'
  expect(() => driverParameters({ [`${own}typo`]: 'x' })).toThrow(why)
  expect([fsTypeOf({ [`${own}fstype`]: 'xfs' }), fsTypeOf({ fsType: 'ext3' }), fsTypeOf({})]).toEqual(['xfs', 'ext3', ''])
  expect(() => fsTypeOf({ [`${own}fstype`]: 'xfs', fstype: 'ext4' })).toThrow('fstype specified in parameters with both')
})

test('a secret is of a use, or of all', () => {
  const of = (parameters: Record<string, string>) => secretRefOf('node-stage', parameters, 'pv-1', claim)
  expect(of(secret('${pvc.namespace}-${pvc.name}-${pv.name}', '${pvc.namespace}'))).toEqual({ name: 'team-data-pv-1', namespace: 'team' })
  expect(of(secret("${pvc.annotations['key']}", 'fixed'))).toEqual({ name: 'mine', namespace: 'fixed' })
  expect(of(secret('all', 'fixed', ''))).toEqual({ name: 'all', namespace: 'fixed' })
  expect(of({ ...secret('all', 'fixed', ''), ...secret('one', 'fixed') })).toEqual({ name: 'one', namespace: 'fixed' })
  expect(of({})).toBeUndefined()
  expect(secretRefOf('snapshotter', secret('all', 'fixed', ''), 'pv-1', claim)).toBeUndefined()
})

test('whoever makes a claim does not choose the namespace', () => {
  const of = (parameters: Record<string, string>) => () => secretRefOf('node-stage', parameters, 'pv-1', claim)
  for (const token of ["pvc.annotations['key']", 'pvc.name', 'toString'])
    expect(of(secret('n', `\${${token}}`))).toThrow(`error resolving value "\${${token}}": invalid tokens: ["${token}"]`)
  expect(of(secret('a/b', 'fixed'))).toThrow('"a/b" is not a valid secret name')
  expect(of(secret('n', '${pv.name}.x'))).toThrow('"${pv.name}.x" resolved to "pv-1.x" which is not a valid namespace name')
  expect(of({ [`${own}node-stage-secret-name`]: 'n' })).toThrow('Both must be specified')
  expect(of(secret('n', ''))).toThrow('value of either namespace or name is empty')
})

test('secrets of calls that come later are kept with the volume', () => {
  const annotations = { ...keepSecret('modify', { name: 'a', namespace: 'b' }), ...keepSecret('deletion', undefined) }
  expect(annotations).toEqual({
    'volume.kubernetes.io/controller-modify-secret-name': 'a',
    'volume.kubernetes.io/controller-modify-secret-namespace': 'b',
  })
  expect(keptSecret('modify', { metadata: { annotations } })).toEqual({ name: 'a', namespace: 'b' })
  expect(keptSecret('deletion', { metadata: { annotations } })).toEqual({})
})

test('what a driver does not say that it can is not asked of it', () => {
  const why = (spec: object, rpcs: number[], services: number[] = [PluginService.controller]) => {
    try {
      examine({ spec } as PersistentVolumeClaim, { rpcs: new Set(rpcs), services: new Set(services) })
    } catch (e) {
      return (e as Error).message
    }
    return undefined
  }
  const can = [ControllerRpc.createDeleteVolume]
  expect(why({}, can)).toBeUndefined()
  expect(why({}, can, [])).toBe('CSI driver does not support dynamic provisioning: plugin CONTROLLER_SERVICE capability is not reported')
  expect(why({}, [])).toBe('CSI driver does not support dynamic provisioning: controller CREATE_DELETE_VOLUME capability is not reported')
  expect(why({ dataSource: { kind: 'PersistentVolumeClaim' } }, can)).toBe(
    'CSI driver does not support clone operations: controller CLONE_VOLUME capability is not reported',
  )
  expect(why({ dataSource: { kind: 'VolumeSnapshot' } }, can)).toBe(
    'CSI driver does not support snapshot restore: controller CREATE_DELETE_SNAPSHOT capability is not reported',
  )
  expect(why({ volumeAttributesClassName: 'x' }, can)).toBe(
    'CSI driver does not support VolumeAttributesClass: controller MODIFY_VOLUME capability is not reported',
  )
  expect(why({ selector: {} }, can)).toBe('claim Selector is not supported')
  expect(why({ dataSource: { kind: 'PersistentVolumeClaim' } }, [...can, ControllerRpc.cloneVolume])).toBeUndefined()
})
