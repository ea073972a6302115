/** Pods and states for the tests of the kubelet's decisions. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { Container } from '#shared/api/core/podspec/container.ts'
import type { PodSpec } from '#shared/api/core/podspec/podspec.ts'
import { containerHash, type ContainerView } from '#node-agent/kubelet/pod/actions.ts'
import type { Attempt, PodState } from '#node-agent/kubelet/pod/state.ts'

export const container = (name: string, more: Partial<Container> = {}): Container => ({ name, image: 'busybox', ...more })
export const newPod = (spec: Partial<PodSpec> = {}, metadata: Pod['metadata'] = {}): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', namespace: 'ns', uid: 'u1', ...metadata },
  spec: { restartPolicy: 'Always', ...spec, containers: spec.containers ?? [container('a')] },
})
export const view = (more: Partial<ContainerView> = {}): ContainerView => ({
  state: 'running',
  exitCode: 0,
  hash: containerHash(container('a')),
  inSandbox: true,
  stopping: false,
  started: true,
  startup: 'success',
  liveness: 'success',
  ...more,
})
export const exited = (exitCode: number, more: Partial<ContainerView> = {}): ContainerView => view({ state: 'exited', exitCode, ...more })
export const attempt = (more: Partial<Attempt> = {}): Attempt => ({
  id: 'id',
  attempt: 0,
  image: 'busybox',
  imageID: 'host-image://busybox@sha256:1',
  hash: containerHash(container('a')),
  sandbox: 0,
  state: 'running',
  startedAt: '2026-01-01T00:00:00.500Z',
  ...more,
})
export const state = (containers: { [name: string]: Attempt }, more: Partial<PodState> = {}): PodState => ({
  startTime: '2026-01-01T00:00:00.000Z',
  sandbox: { attempt: 0, boot: 'b', ip: '10.0.0.5', networkNamespace: '/run/netns/x' },
  containers: Object.fromEntries(Object.entries(containers).map(([name, current]) => [name, { current }])),
  ...more,
})
