import { expect, test } from 'vitest'
import { cdiSpec, named, parseOffered, slicesDevices } from '#drivers/devices/devices.ts'

test('what may be given away, and how often', () => {
  expect(parseOffered('/dev/fuse=2, /dev/net/tun')).toEqual([
    { path: '/dev/fuse', times: 2 },
    { path: '/dev/net/tun', times: 1 },
  ])
  expect(parseOffered('')).toEqual([])
  for (const wrong of ['/etc/passwd', '/dev/fuse=0', '/dev/../etc/passwd', '/dev/fuse=many', 'fuse'])
    expect(() => parseOffered(wrong), wrong).toThrow('is not a device')
})

test('devices that are there have names of their kind, and say what they are', () => {
  const devices = named(parseOffered('/dev/fuse=2,/dev/kvm,/dev/net/tun'), path => path !== '/dev/kvm')
  expect([...devices]).toEqual([
    ['fuse-0', '/dev/fuse'],
    ['fuse-1', '/dev/fuse'],
    ['tun-0', '/dev/net/tun'],
  ])
  expect(slicesDevices(devices)[2]).toEqual({
    name: 'tun-0',
    attributes: { kind: { string: 'tun' }, path: { string: '/dev/net/tun' } },
  })
})

test('a container that has one of a claim’s devices has its node and its path', () => {
  expect(cdiSpec('u1', [{ name: 'tun-0', path: '/dev/net/tun' }])).toEqual({
    cdiVersion: '0.6.0',
    kind: 'devices.coxswain.io/device',
    devices: [
      {
        name: 'u1-tun-0',
        containerEdits: { deviceNodes: [{ path: '/dev/net/tun', permissions: 'rw' }], env: ['DEVICE_TUN=/dev/net/tun'] },
      },
    ],
  })
})
