/** A node: its registration, its network and everything that runs on it. */
import { existsSync, mkdirSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { realpath } from 'node:fs/promises'
import { endpointSlices, nodes, runtimeClasses, services } from '#shared/api/kinds.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Volume } from '#shared/api/core/podspec/volume.ts'
import type { BusConnection } from '#shared/bus/connection.ts'
import { natsTransport } from '#shared/bus/api-client.ts'
import { eventRecorder } from '#shared/client/events.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { newClient } from '#shared/client/rest.ts'
import type { Logger } from '#shared/component/log.ts'
import type { IPFamily } from '#shared/machinery/ip.ts'
import { detectCapabilities } from './capabilities.ts'
import { csiNodeRecord } from './kubelet/csi/csinode.ts'
import { followLimits } from './kubelet/csi/limits.ts'
import { csiDrivers, type as csiPluginType } from './kubelet/csi/drivers.ts'
import { pathOnNode } from './kubelet/kubeletpaths.ts'
import { followPlugins } from './kubelet/pluginmanager/pluginmanager.ts'
import type { PodWorker } from './kubelet/pod/worker.ts'
import { csiVolume } from './kubelet/volumes/csi/csi.ts'
import { draDrivers, type as draPluginType } from './kubelet/cm/dra/drivers.ts'
import { dynamicResources } from './kubelet/cm/dra/manager.ts'
import { openDeviceManager } from './kubelet/cm/devices/manager.ts'
import { openPodCgroups } from './kubelet/cm/podcgroups.ts'
import { measuredRuntime } from './kubelet/measuredruntime.ts'
import { runtimeHealth } from './kubelet/runtimehealth.ts'
import { kubeletAnswers, serveAnswers } from './healthz.ts'
import { startKubeProxy } from './kubeproxy.ts'
import { newActivity } from './kubelet/activity.ts'
import { evictionManager } from './kubelet/eviction/manager.ts'
import { memoryCapacity } from './kubelet/eviction/signals.ts'
import { effectiveThresholds } from './kubelet/eviction/state.ts'
import { imageGC } from './kubelet/images/gc.ts'
import { nodeCredentials, type CredentialSourceOfNode } from './kubelet/images/nodecredentials.ts'
import { watchImages } from './kubelet/images/arrivals.ts'
import { imagePuller } from './kubelet/images/puller.ts'
import { pullRecords } from './kubelet/images/pullrecords.ts'
import { imageUses } from './kubelet/images/uses.ts'
import { startKubelet } from './kubelet/kubelet.ts'
import { rotateLogs } from './kubelet/logs/monitor.ts'
import { defaultLogLimits } from './kubelet/logs/rotate.ts'
import { crashLoop, upTo } from './kubelet/container/backoff.ts'
import { countedTransport } from './kubelet/server/clientrequests.ts'
import { kubeletConfiguration } from './kubelet/server/configz.ts'
import { enforcedAllocatable, machineCapacity, readHugepages } from './kubelet/node/allocatable.ts'
import { nodeEvents, transitions } from './kubelet/node/events.ts'
import { nodeImages } from './kubelet/node/images.ts'
import { keepLease } from './kubelet/node/lease.ts'
import { bootMarker, readMachine } from './kubelet/node/machine.ts'
import { newNode, type NodeOptions } from './kubelet/node/object.ts'
import { keepCredentials } from './kubelet/certificate/rotation.ts'
import { keepStatus, registerNode, reportStatus } from './kubelet/node/registration.ts'
import { serveKubelet } from './kubelet/sessions/serve.ts'
import { objectSources } from './kubelet/sources.ts'
import { appArmorEnabled } from './kubelet/pod/apparmor.ts'
import { servePodResources } from './kubelet/podresources.ts'
import { shutDownPods, shutdownPeriods } from './kubelet/shutdown.ts'
import { statusManager } from './kubelet/status/manager.ts'
import { claimResolver } from './kubelet/volumes/claims.ts'
import { volumePlugins } from './kubelet/volumes/plugins.ts'
import { stagedVolumes, type StagedVolumes } from './kubelet/volumes/staged.ts'
import { keepVolumes } from './kubelet/volumes/upkeep.ts'
import { openPodNetwork } from './network/open.ts'
import { startNodeEgress } from './egress.ts'
import { openReach } from './network/reach.ts'
import { keepRoute, keepRoutes } from './network/peers.ts'
import { startNodePolicies } from './networkpolicies.ts'
import type { NodeAgentOptions } from './options.ts'
import { besideProcesses } from './runtime/dispatch.ts'
import { createOciRuntime, type OciOptions } from './runtime/oci.ts'
import { createProcessRuntime } from './runtime/process.ts'
import type { ContainerRuntime } from './runtime/runtime.ts'
import { transportOf } from './transport.ts'

/** What a node begins with that a cloud has to tell something of. */
const uninitialized = { key: 'node.cloudprovider.kubernetes.io/uninitialized', value: 'true', effect: 'NoSchedule' }

export interface RunningNode {
  /** The machine goes down: ends pods in order, for as long as the flags say, and takes no more. */
  shutDown(): Promise<void>
}

/**
 * Resolves when the node is registered and follows its pods; everything ends with `signal`, containers excepted. Static pods start before
 * there is a connection to the API.
 */
export async function startNode(
  options: NodeAgentOptions & { podCidr: string },
  connecting: Promise<BusConnection>,
  log: Logger,
  signal: AbortSignal,
): Promise<RunningNode> {
  const { nodeName, nodeIp, podCidr } = options
  const families: IPFamily[] = options.ipv6 ? ['IPv4', 'IPv6'] : ['IPv4']
  // Those below it are mounted by drivers, as upstream's setupDataDirs makes them.
  for (const below of ['pods', 'plugins', 'plugins_registry']) mkdirSync(join(options.rootDir, below), { recursive: true, mode: 0o750 })
  // The kernel tells of mounts by their real paths, and so do we.
  const rootDir = await realpath(options.rootDir)
  const machine = readMachine(rootDir)
  const manifests = manifestDirectory(options.podManifestPath, rootDir)
  // Without static pods there is nothing to do before the API can be reached, and no watch that would have to back off.
  const transport = countedTransport(
    manifests === undefined ? natsTransport(await connecting) : transportOf(connecting.then(natsTransport)),
  )
  const client = newClient(transport)
  const can = detectCapabilities(options)
  const imageDirectory = options.imageStore ?? join(rootDir, 'image-store')
  mkdirSync(imageDirectory, { recursive: true, mode: 0o711 })
  const images = {
    ...(options.imageCatalogue ? { catalogueFile: options.imageCatalogue } : {}),
    imageStore: imageDirectory,
    ...(options.registries ? { registries: options.registries } : {}),
    log,
  }
  const reach = can.network !== 'host' ? await openReach({ ...options, podCidr }) : undefined
  let suspect = (): void => {}
  const [runtime, network] = await Promise.all([
    (can.runtime === 'oci'
      ? createRuntimes({ rootDir, cgroupRoot: options.cgroupRoot, runtimes: pairs(options.runtimeHandler), ...images })
      : createProcessRuntime({ rootDir, cgroupRoot: options.cgroupRoot, ...images })
    ).then(made => measuredRuntime(made, () => suspect())),
    openPodNetwork(can, options, { rootDir, podCidr, mtu: reach?.mtu, client, log }),
  ])
  const health = runtimeHealth(runtime, log)
  suspect = health.suspect
  let shuttingDown = false
  const maxPods = options.podsPerCore ? Math.min(options.maxPods, options.podsPerCore * machine.cpus) : options.maxPods
  const memoryBytes = memoryCapacity(machine.memoryBytes, options.cgroupRoot)
  const capacity = { ...machineCapacity(machine, maxPods), memoryBytes, hugepages: readHugepages() }
  const enforced = can.runtime === 'oci' && options.enforceNodeAllocatable.includes('pods')
  const evictions = evictionManager({
    thresholds: effectiveThresholds(options.thresholds, enforced),
    transitionMs: options.evictionPressureTransitionPeriod,
    maxPodGraceSeconds: options.evictionMaxPodGracePeriod,
    places: { rootDir, imageDir: imageDirectory, cgroupRoot: options.cgroupRoot },
    nodeName,
    log,
  })
  evictions.look()
  const devices = await openDeviceManager(rootDir, log, signal).catch((e: Error) => {
    log.warn({ err: e.message }, 'there can be no device plugins')
    return undefined
  })
  let staged: StagedVolumes | undefined
  let reportVolumes = (): void => {}
  const about: NodeOptions = {
    name: nodeName,
    ip: nodeIp,
    machineAddress: options.machineAddress,
    podCIDR: podCidr,
    ipv6: options.ipv6,
    capacity,
    reservations: options,
    taints: [...(options.cloudProvider === 'external' ? [uninitialized] : []), ...(options.registerWithTaints ?? [])],
    labels: options.nodeLabels,
    capabilities: can,
    runtimeVersion: `${runtime.name}-${runtime.version}`,
    handlers: runtime.handlers,
    machine,
    images: () =>
      runtime.images.list().then(
        list => nodeImages(list, options.nodeStatusMaxImages),
        (e: Error) => void log.warn({ err: e.message }, 'images of the node not told'),
      ),
    pressures: evictions.pressures,
    volumesInUse: async () => ((await staged?.inUse()) ?? []).filter(isAttachable).sort(),
    changes: changed => (
      evictions.onChange(changed),
      health.onChange(changed),
      network.onChange?.(changed),
      devices?.onChange(changed),
      (reportVolumes = changed)
    ),
    devices: devices?.resources,
    notReady: () => (shuttingDown ? 'node is shutting down' : (health.notReady() ?? network.notReady?.())),
  }
  // First of all: that it succeeds shows that the API can be reached, so that no watch starts by backing off.
  const registering = registerNode(client, about, log, signal)
  let registered = manifests === undefined ? await registering : newNode(about, new Date())
  const strip = (node: Node): void => void (node.metadata.name === nodeName || keepRoute(node))
  const nodeInformer = startInformer<Node>(client, nodes, { log, strip }, signal)
  const serviceInformer = startInformer(client, services, { log }, signal)
  const sliceInformer = startInformer(client, endpointSlices, { log }, signal)
  const policies = can.network !== 'host' ? startNodePolicies({ nodeName, families, client, log }, signal) : undefined
  const activity = newActivity()
  // Statuses first: nobody waits for an event.
  const recorder = eventRecorder(client, 'kubelet', nodeName, log, activity.quiet)
  const versionOf = (n: Node): number => Number(n.metadata.resourceVersion ?? 0)
  /** The newer of what was seen and what we reported: a pod may come before the watch tells of our own report. */
  const node = (): Node => {
    const seen = nodeInformer.get('', nodeName)
    return seen && versionOf(seen) >= versionOf(registered) ? seen : registered
  }
  const proxied = { services: serviceInformer, endpointSlices: sliceInformer, nodes: nodeInformer }
  await startKubeProxy(options, { client, can, ...proxied, node, log }, signal)
  const boot = bootMarker(machine.bootID, can.network === 'host' ? process.ppid : 1)
  const csiRecord = csiNodeRecord(client, node, log)
  const drivers = csiDrivers(csiRecord, log)
  followLimits(client, drivers, log, signal)
  const resourceDrivers = draDrivers(client, nodeName, log, signal)
  const isReportedInUse = (name: string): boolean => {
    if (node().status?.volumesInUse?.includes(name)) return true
    reportVolumes()
    return false
  }
  const plugins = [...volumePlugins, csiVolume({ client, drivers, nodeName, rootDir, boot, isReportedInUse })]
  staged = stagedVolumes(rootDir, plugins, key => isAttachable(key) && reportVolumes())
  serveAnswers('127.0.0.1', 10_248, kubeletAnswers, log, signal)
  const podCgroups =
    can.runtime === 'oci'
      ? await openPodCgroups({
          cgroupRoot: options.cgroupRoot,
          allocatable: enforced ? enforcedAllocatable(capacity, options) : { milliCPU: capacity.milliCPU, memoryBytes: -1, pids: -1 },
          podMaxPids: options.podMaxPids,
          activePods: () => kubelet.activePods(),
          log,
        })
      : undefined
  // What the nodes of a machine tell each other of the images that they share.
  const records = pullRecords(
    join(imageDirectory, 'kubelet'),
    options.imagePullCredentialsVerificationPolicy ?? 'NeverVerifyPreloadedImages',
    options.preloadedImagesVerificationAllowlist,
  )
  const context = {
    podCgroups,
    crashLoop: upTo(options.maxContainerRestartPeriod ?? crashLoop.maxMs, crashLoop),
    devices,
    dynamicResources: dynamicResources(rootDir, client, resourceDrivers, log),
    nodeName,
    nodeIP: nodeIp,
    nodeIPs: options.ipv6 ? [nodeIp, options.ipv6.nodeIP] : [nodeIp],
    rootDir,
    cgroupRoot: options.cgroupRoot,
    boot,
    memoryBytes: capacity.memoryBytes,
    runtime,
    configuration: kubeletConfiguration(options, manifests),
    clientCaFile: options.clientCaFile,
    puller: imagePuller(runtime.images, options.maxParallelImagePulls),
    nodeCredentials: nodeCredentials(rootDir, await providers(options), log),
    pullRecords: records,
    network,
    networkPolicies: policies,
    client,
    recorder,
    services: serviceInformer,
    runtimeClasses: startInformer(client, runtimeClasses, { log }, signal),
    // Pods without networks of their own have what the machine has.
    names: {
      servers: can.network !== 'host' ? options.clusterDns : [],
      domain: options.clusterDomain,
      resolvConf: options.resolvConf,
    },
    sources: objectSources(client, signal),
    drivers,
    nodeVolumes: { plugins, staged, resolve: claimResolver(client, node) },
    security: {
      seccompDefault: options.seccompDefault,
      idsPerPod: options.idsPerPod,
      allowedUnsafeSysctls: options.allowedUnsafeSysctls,
      appArmor: can.runtime === 'oci' && appArmorEnabled(),
    },
    statuses: statusManager(client, log, signal),
    activity,
    log,
    node,
    isShuttingDown: () => shuttingDown,
    manifests,
  }
  const kubelet = startKubelet(context, signal)
  // Those that wait for a driver, or for a volume to be attached.
  const claimants = (): PodWorker[] => kubelet.workers().filter(w => w.failure !== undefined && w.pod.spec.volumes?.some(usesDriver))
  drivers.onRegistered(() => claimants().forEach(w => w.retryVolumes()))
  resourceDrivers.onRegistered(() =>
    kubelet.workers().forEach(w => w.failure !== undefined && w.pod.spec.resourceClaims?.length && w.kick()),
  )
  const imagesChanged = (): void => kubelet.workers().forEach(worker => worker.imagesChanged())
  watchImages(imageDirectory, imagesChanged, log, signal)
  const collector = imageGC({
    policy: {
      highThresholdPercent: options.imageGcHighThreshold,
      lowThresholdPercent: options.imageGcLowThreshold,
      minimumAgeMs: options.minimumImageTtlDuration,
      maximumAgeMs: options.imageMaximumGCAge ?? 0,
    },
    images: runtime.images,
    uses: imageUses(join(imageDirectory, 'kubelet', 'uses'), nodeName),
    inUse: () => kubelet.workers().flatMap(w => Object.values(w.state.containers).map(c => c.current.imageID)),
    disk: () => {
      const { blocks, bavail, bsize } = statfsSync(imageDirectory)
      return { capacity: blocks * bsize, available: bavail * bsize }
    },
    forget: image => Promise.all([image.id, ...image.names].map(records.forget)),
    recorder,
    nodeName,
    log,
  })
  if (devices)
    servePodResources(rootDir, devices, context.dynamicResources, kubelet.activePods, log, signal).catch((e: Error) =>
      log.warn({ err: e.message }, 'devices of pods are not told'),
    )
  const connection = await connecting
  registered = await registering
  csiRecord.keep(signal)
  const pluginHandlers = { [csiPluginType]: drivers, [draPluginType]: resourceDrivers }
  followPlugins(join(rootDir, 'plugins_registry'), pluginHandlers, path => pathOnNode(path, rootDir), log, signal)
  log.info({ node: nodeName, ip: nodeIp, podCIDR: podCidr, ...can }, 'node registered')
  const events = nodeEvents(recorder, nodeName)
  events.started()
  if (options.withoutEffect.length > 0) events.ignored(options.withoutEffect)
  events.reported(registered)
  let volumes = ''
  nodeInformer.subscribe(({ type, object }) => {
    if (type === 'DELETED' || object.metadata.name !== nodeName) return
    events.seen(object)
    const now = JSON.stringify([object.status?.volumesInUse, object.status?.volumesAttached])
    if (now !== volumes) claimants().forEach(w => w.retryVolumes())
    volumes = now
  })
  const onReport = (n: Node): void => {
    events.reported((registered = n))
    // Pods wait for space, or for the runtime, some for a minute.
    if (transitions(n.status?.conditions).some(t => t === 'NodeHasNoDiskPressure' || t === 'NodeReady'))
      for (const worker of kubelet.workers()) worker.retryVolumes()
  }
  serveKubelet(connection, kubelet, context, signal)
  const egress = reach && startNodeEgress(options, reach.peers, client, log, signal)
  const running: { [name: string]: Promise<void> } = {
    // A renewal whose answer got lost must not cost the others.
    lease: keepLease(
      newClient(transport, { timeoutMs: Math.max(1_000, (options.nodeLeaseDurationSeconds * 1000) / 4) }),
      node,
      options.nodeLeaseDurationSeconds,
      log,
      signal,
    ),
    status: keepStatus(client, about, node, nodeInformer, options.nodeStatusUpdateFrequency, onReport, log, signal),
    ...(reach ? { routes: keepRoutes(nodeInformer, { ...reach.peers, ipv6: options.ipv6 !== undefined }, log, signal) } : {}),
    ...(egress ? { egress } : {}),
    logs: rotateLogs(kubelet, runtime, log, signal, {
      maxBytes: options.containerLogMaxBytes ?? defaultLogLimits.maxBytes,
      maxFiles: options.containerLogMaxFiles ?? defaultLogLimits.maxFiles,
    }),
    credentials: keepCredentials(
      client,
      { node: nodeName, credsFile: options.creds, certificateFile: join(rootDir, 'pki', 'kubelet-client-current.pem') },
      log,
      signal,
    ),
    eviction: evictions.keep({ kubelet, runtime, recorder, removeUnusedImages: collector.removeUnused }, signal),
    images: collector.keep(signal),
    runtime: health.keep(signal),
  }
  keepVolumes(kubelet, recorder, log, signal)
  for (const [name, loop] of Object.entries(running))
    loop.catch((e: unknown) => log.error({ loop: name, err: e }, 'a loop of the node ended'))
  return {
    async shutDown() {
      const periods = shutdownPeriods(options)
      if (periods.length === 0) return
      shuttingDown = true
      reportStatus(client, about, node()).catch((e: Error) => log.warn({ err: e.message }, 'the shutdown is not told to the API'))
      await shutDownPods(kubelet, context.statuses, periods, log)
    },
  }
}

/** Credential provider plugins; the parser of their configuration is loaded when there is one. */
async function providers({
  imageCredentialProviderConfig: file,
  imageCredentialProviderBinDir: bin,
}: NodeAgentOptions): Promise<CredentialSourceOfNode[]> {
  if (file === undefined) return []
  if (bin === undefined) throw new Error('--image-credential-provider-config needs --image-credential-provider-bin-dir')
  return (await import('./kubelet/images/credentialprovider.ts')).credentialProviders(file, bin)
}

/** `a=b` of a flag that may be repeated. */
const pairs = (list: readonly string[]): Record<string, string> =>
  Object.fromEntries(list.map(text => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)]))

/** OCI runtimes, and plain processes for the pods whose RuntimeClass asks for them. */
async function createRuntimes(options: OciOptions): Promise<ContainerRuntime> {
  return besideProcesses(...(await Promise.all([createOciRuntime(options), createProcessRuntime(options)])))
}

const usesDriver = (v: Volume): boolean => Boolean(v.csi ?? v.persistentVolumeClaim ?? v.ephemeral)
/** As node status names volumes of CSI drivers. */
const isAttachable = (key: string): boolean => key.startsWith('kubernetes.io/csi/')

/** Where static pods' manifests are; undefined when the node has none. */
function manifestDirectory(asked: string | undefined, rootDir: string): string | undefined {
  if (asked !== undefined) mkdirSync(asked, { recursive: true })
  const path = asked ?? join(rootDir, 'manifests')
  return existsSync(path) ? path : undefined
}
