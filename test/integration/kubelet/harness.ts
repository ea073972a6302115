/** A kubelet on a real runtime (`oci` as root, else `process`), in this process, with an API in memory. Pods use the host's network. */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { events, pods, runtimeClasses, services } from '#shared/api/kinds.ts'
import type { Event } from '#shared/api/core/event.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { PodSpec } from '#shared/api/core/podspec/podspec.ts'
import { eventRecorder } from '#shared/client/events.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { logger } from '#shared/component/log.ts'
import { removeCgroup } from '#shared/linux/cgroup.ts'
import { listMounts, unmount } from '#shared/linux/mount.ts'
import { csiNodeRecord } from '#node-agent/kubelet/csi/csinode.ts'
import { followLimits } from '#node-agent/kubelet/csi/limits.ts'
import { keepVolumes } from '#node-agent/kubelet/volumes/upkeep.ts'
import { csiDrivers, type as csiPluginType } from '#node-agent/kubelet/csi/drivers.ts'
import { pathOnNode } from '#node-agent/kubelet/kubeletpaths.ts'
import { followPlugins } from '#node-agent/kubelet/pluginmanager/pluginmanager.ts'
import { csiVolume } from '#node-agent/kubelet/volumes/csi/csi.ts'
import { draDrivers, type as draPluginType } from '#node-agent/kubelet/cm/dra/drivers.ts'
import { dynamicResources } from '#node-agent/kubelet/cm/dra/manager.ts'
import { openDeviceManager } from '#node-agent/kubelet/cm/devices/manager.ts'
import { openPodCgroups } from '#node-agent/kubelet/cm/podcgroups.ts'
import { newActivity } from '#node-agent/kubelet/activity.ts'
import { watchImages } from '#node-agent/kubelet/images/arrivals.ts'
import { imagePuller } from '#node-agent/kubelet/images/puller.ts'
import { logFile, podDirectory } from '#node-agent/kubelet/pod/directory.ts'
import { startKubelet, type Kubelet, type KubeletOptions } from '#node-agent/kubelet/kubelet.ts'
import { objectSources } from '#node-agent/kubelet/sources.ts'
import { statusManager } from '#node-agent/kubelet/status/manager.ts'
import type { VolumePlugin } from '#node-agent/kubelet/volumes/plugin.ts'
import { claimResolver } from '#node-agent/kubelet/volumes/claims.ts'
import { volumePlugins } from '#node-agent/kubelet/volumes/plugins.ts'
import { stagedVolumes } from '#node-agent/kubelet/volumes/staged.ts'
import { besideProcesses } from '#node-agent/runtime/dispatch.ts'
import type { PodNetwork } from '#node-agent/network/network.ts'
import { createOciRuntime } from '#node-agent/runtime/oci.ts'
import { createProcessRuntime } from '#node-agent/runtime/process.ts'
import { memoryApi, type MemoryApi } from './memory-api.ts'

export interface Harness {
  api: MemoryApi
  rootDir: string
  cgroupRoot: string
  kubelet(): Kubelet
  options(): KubeletOptions
  /** Lets go of the pods, as a killed node-agent does, and starts another kubelet. `boot` names another life of the node. */
  restart(boot?: string, more?: { api?: boolean }): Promise<void>
  /** Makes a pod that is bound to the node. */
  pod(name: string, spec: Partial<PodSpec>, more?: Partial<Pod['metadata']>): Pod
  get(name: string): Pod | undefined
  /** Asks for a graceful deletion as the API server does. */
  delete(name: string, graceSeconds: number): void
  events(name: string): Event[]
  /** What a container of a pod has written. */
  log(name: string, container: string): Promise<string>
  /** Resolves with the pod as soon as it is as asked. */
  until(name: string, condition: (pod: Pod) => unknown, timeoutMs?: number): Promise<Pod>
  close(): Promise<void>
}

/** Whether containers see their own files: paths of theirs are below $COXSWAIN_ROOT otherwise, which is empty here. */
export const isolated = process.getuid?.() === 0

const nodeName = 'n1'
const noNetwork = {
  name: 'none',
  setUp: () => Promise.reject(new Error('this test has no pod network')),
  tearDown: () => Promise.resolve(),
  retain: () => Promise.resolve(),
}

/** Nobody answers. */
const noAnswer = (): never => {
  throw new Error('there is no connection to the API')
}
const noApi = new Proxy({} as MemoryApi['client'], {
  get: (_, name) =>
    name === 'watch'
      ? async function* () {
          noAnswer()
        }
      : async () => noAnswer(),
})

/** `plugins` are volume types beside the usual ones, `runtimes` OCI runtimes by handler. */
export async function harness(
  more: readonly VolumePlugin[] = [],
  wanted: {
    manifests?: boolean
    devices?: boolean
    csi?: boolean
    dra?: boolean
    runtimes?: Record<string, string>
    network?: PodNetwork
  } = {},
): Promise<Harness> {
  const api = memoryApi()
  const rootDir = await mkdtemp(join(tmpdir(), 'kubelet-'))
  const cgroupRoot = `/coxswain-test-${process.pid}-${Math.random().toString(36).slice(2, 8)}`
  const log = logger('kubelet')
  const processes = await createProcessRuntime(isolated ? { rootDir, cgroupRoot } : { rootDir })
  const runtime = isolated
    ? besideProcesses(await createOciRuntime({ rootDir, cgroupRoot, runtimes: wanted.runtimes ?? {} }), processes)
    : processes
  const node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: nodeName, labels: { zone: 'a' } },
    spec: {},
    status: { allocatable: { cpu: '2', memory: '4Gi', pods: '110' } },
  } as Node
  // As a node-agent makes them: without root there are none.
  const podCgroups = isolated
    ? await openPodCgroups({
        cgroupRoot,
        allocatable: { milliCPU: 2000, memoryBytes: 2 * 2 ** 30, pids: 10_000 },
        podMaxPids: 1000,
        activePods: () => kubelet.activePods(),
        log,
      })
    : undefined
  let stop = new AbortController()
  let kubelet: Kubelet
  let options: KubeletOptions
  let uids = 0
  const manifests = wanted.manifests ? join(rootDir, 'manifests') : undefined
  if (manifests) await mkdir(manifests)
  async function start(boot: string, withApi = true): Promise<void> {
    stop = new AbortController()
    const { signal } = stop
    const client = withApi ? api.client : noApi
    const record = csiNodeRecord(client, () => node, log)
    const drivers = csiDrivers(record, log)
    const csi = { client, drivers, nodeName, rootDir, boot }
    const resourceDrivers = wanted.dra ? draDrivers(client, nodeName, log, signal, 300) : undefined
    const plugins = [...more, ...volumePlugins, ...(wanted.csi ? [csiVolume(csi)] : [])]
    options = {
      nodeName,
      nodeIP: '127.0.0.1',
      nodeIPs: ['127.0.0.1'],
      names: { servers: [], domain: 'cluster.local', resolvConf: '/etc/resolv.conf' },
      rootDir,
      cgroupRoot,
      boot,
      memoryBytes: 4 * 2 ** 30,
      runtime,
      puller: imagePuller(runtime.images, 1),
      podCgroups,
      devices: wanted.devices ? await openDeviceManager(rootDir, log, signal) : undefined,
      dynamicResources: resourceDrivers && dynamicResources(rootDir, client, resourceDrivers, log),
      network: wanted.network ?? noNetwork,
      client,
      recorder: eventRecorder(client, 'kubelet', nodeName),
      activity: newActivity(),
      services: startInformer(client, services, {}, signal),
      runtimeClasses: startInformer(client, runtimeClasses, {}, signal),
      sources: objectSources(client, signal),
      nodeVolumes: { plugins, staged: stagedVolumes(rootDir, plugins), resolve: claimResolver(client, () => node) },
      statuses: statusManager(client, log, signal),
      log,
      security: { seccompDefault: true },
      node: () => node,
      manifests,
    }
    kubelet = startKubelet(options, signal)
    const handlers = {
      ...(wanted.csi ? { [csiPluginType]: drivers } : {}),
      ...(resourceDrivers ? { [draPluginType]: resourceDrivers } : {}),
    }
    if (wanted.csi) {
      followLimits(client, drivers, log, signal, 20)
      keepVolumes(kubelet, options.recorder, log, signal, { sizesMs: 10_000, restMs: 300 })
    }
    if (wanted.csi || wanted.dra) followPlugins(join(rootDir, 'plugins_registry'), handlers, path => pathOnNode(path, rootDir), log, signal)
    for (const registered of [drivers, resourceDrivers]) registered?.onRegistered(() => kubelet.workers().forEach(w => w.retryVolumes()))
    const store = join(rootDir, 'image-store')
    await mkdir(store, { recursive: true })
    watchImages(store, () => kubelet.workers().forEach(worker => worker.imagesChanged()), log, signal)
  }
  await start('boot-1')
  const h: Harness = {
    api,
    rootDir,
    cgroupRoot,
    kubelet: () => kubelet,
    options: () => options,
    async restart(boot = 'boot-1', { api: withApi = true } = {}) {
      stop.abort()
      await start(boot, withApi)
      if (withApi) await kubelet.informer.synced
    },
    pod(name, spec, more = {}) {
      const pod: Pod = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {
          name,
          namespace: 'default',
          uid: `uid-${name}-${++uids}`,
          generation: 1,
          creationTimestamp: new Date().toISOString(),
          ...more,
        },
        spec: {
          restartPolicy: 'Always',
          terminationGracePeriodSeconds: 30,
          hostNetwork: true,
          dnsPolicy: 'Default',
          nodeName,
          ...spec,
          containers: spec.containers ?? [],
        },
        status: { phase: 'Pending' },
      }
      return api.put(pods, pod as never) as unknown as Pod
    },
    get: name => api.get(pods, 'default', name) as unknown as Pod | undefined,
    delete(name, graceSeconds) {
      const pod = structuredClone(api.get(pods, 'default', name)!)
      pod.metadata.deletionTimestamp = new Date(Date.now() + graceSeconds * 1000).toISOString()
      pod.metadata.deletionGracePeriodSeconds = graceSeconds
      api.put(pods, pod)
    },
    events: name => (api.all(events) as unknown as Event[]).filter(e => e.involvedObject?.name === name),
    async log(name, container) {
      const uid = api.get(pods, 'default', name)?.metadata.uid ?? ''
      return await readFile(logFile(podDirectory(rootDir, uid), container, 0), 'utf8').catch(() => '')
    },
    until: (name, condition, timeoutMs) =>
      api
        .until(() => {
          const pod = api.get(pods, 'default', name) as unknown as Pod | undefined
          return pod && condition(pod) ? pod : undefined
        }, timeoutMs)
        .catch((e: Error) =>
          Promise.reject(new Error(`${e.message}; pod is ${JSON.stringify(api.get(pods, 'default', name)?.['status'])}`)),
        ),
    async close() {
      for (const pod of api.all(pods)) {
        h.delete(pod.metadata.name ?? '', 0)
        api.remove(pods, 'default', pod.metadata.name ?? '')
      }
      await api.until(() => kubelet.workers().length === 0, 20_000)
      stop.abort()
      await unmount((await listMounts()).map(m => m.target).filter(t => t.startsWith(rootDir)))
      await removeCgroup(cgroupRoot)
      await rm(rootDir, { recursive: true, force: true })
    },
  }
  return h
}
