/**
 * /metrics/cadvisor: what dashboards know of containers and the machine, by the names and labels of cAdvisor (metrics/prometheus.go) and of
 * its kubelet (`container`, `pod`, `namespace`). Pods have lines of their own, without `container` and `image`, as their control groups
 * have with cAdvisor; networks are theirs.
 */
import type { Machine } from '../node/machine.ts'
import { findContainer, uidOf } from '../pod/containers.ts'
import { interfacesOf, machineMemory, type FsStats, type InterfaceStats } from '../stats/machine.ts'
import type { ContainerSample, PodSample, Sample, Sampler, Used } from '../stats/sampler.ts'
import type { PodStorage } from '../stats/storage.ts'
import { kernelResources, withinPod } from '../container/resources.ts'
import { labelsOf, newExposition, type Exposition } from './exposition.ts'
import { podLabels } from './resource.ts'

type Labels = Record<'container' | 'id' | 'image' | 'name' | 'namespace' | 'pod', string>
/** A control group with what it has used: of a container, of a pod, or of all pods. */
interface Row {
  labels: string
  cgroup: string
  used: Used
  container?: { sample: ContainerSample; of: PodSample }
}

export interface CadvisorOptions {
  machine: Machine
  /** The file system of the node's state directory. */
  fs: FsStats
  storage: ReadonlyMap<string, PodStorage>
  /** Of a control group of the sample, where the kernel tells. */
  pressure: Sampler['pressure']
}

/** No container of the line's own: `id` alone names a group. */
const noContainer = { container: '', image: '', name: '' }

export function cadvisorMetrics(sample: Sample, options: CadvisorOptions): string {
  const out = newExposition()
  const { at } = sample
  const rows: Row[] = [
    { labels: withLabels({ ...noContainer, id: '/kubepods', namespace: '', pod: '' }), cgroup: '/kubepods', used: sample.all },
    ...sample.pods.flatMap(rowsOf),
  ]
  const each = (name: string, type: 'counter' | 'gauge', help: string, value: (u: Used) => number | undefined, more = ''): void => {
    out.metric(name, type, help)
    for (const { labels, used } of rows) {
      const n = value(used)
      if (n !== undefined) out.sample(`{${labels}${more}}`, n, at)
    }
  }
  const seconds = (nanos: number | undefined): number | undefined => (nanos === undefined ? undefined : nanos / 1e9)
  each('container_cpu_usage_seconds_total', 'counter', 'Cumulative cpu time consumed in seconds.', u => u.cpuNanos / 1e9, ',cpu="total"')
  each('container_cpu_user_seconds_total', 'counter', 'Cumulative user cpu time consumed in seconds.', u => seconds(u.cpuUserNanos))
  each('container_cpu_system_seconds_total', 'counter', 'Cumulative system cpu time consumed in seconds.', u => seconds(u.cpuSystemNanos))
  const limited = (u: Used, n: number | undefined): number | undefined => (u.cpuPeriods ? n : undefined)
  each('container_cpu_cfs_periods_total', 'counter', 'Number of elapsed enforcement period intervals.', u => limited(u, u.cpuPeriods))
  each('container_cpu_cfs_throttled_periods_total', 'counter', 'Number of throttled period intervals.', u =>
    limited(u, u.cpuThrottledPeriods),
  )
  each('container_cpu_cfs_throttled_seconds_total', 'counter', 'Total time duration the container has been throttled.', u =>
    limited(u, seconds(u.cpuThrottledNanos)),
  )
  each(
    'container_memory_usage_bytes',
    'gauge',
    'Current memory usage in bytes, including all memory regardless of when it was accessed',
    u => u.memoryBytes,
  )
  each('container_memory_working_set_bytes', 'gauge', 'Current working set in bytes.', u => u.workingSetBytes)
  each('container_memory_rss', 'gauge', 'Size of RSS in bytes.', u => u.rssBytes)
  each('container_memory_cache', 'gauge', 'Number of bytes of page cache memory.', u => u.cacheBytes)
  each('container_memory_mapped_file', 'gauge', 'Size of memory mapped files in bytes.', u => u.mappedFileBytes)
  each('container_memory_swap', 'gauge', 'Container swap usage in bytes.', u => u.swapBytes)
  each('container_memory_max_usage_bytes', 'gauge', 'Maximum memory usage recorded in bytes', u => u.peakMemoryBytes)
  each('container_memory_failcnt', 'counter', 'Number of memory usage hits limits', u => u.memoryFailures)
  out.metric('container_memory_failures_total', 'counter', 'Cumulative count of memory allocation failures.')
  for (const { labels, used } of rows) {
    if (used.pageFaults === undefined) continue
    out.sample(`{${labels},failure_type="pgfault",scope="hierarchy"}`, used.pageFaults, at)
    out.sample(`{${labels},failure_type="pgmajfault",scope="hierarchy"}`, used.majorPageFaults ?? 0, at)
  }
  each('container_threads', 'gauge', 'Number of threads running inside the container', u => u.threads)
  const device = ',device=""'
  each('container_fs_reads_bytes_total', 'counter', 'Cumulative count of bytes read', u => u.readBytes, device)
  each('container_fs_writes_bytes_total', 'counter', 'Cumulative count of bytes written', u => u.writeBytes, device)
  each('container_fs_reads_total', 'counter', 'Cumulative count of reads completed', u => u.reads, device)
  each('container_fs_writes_total', 'counter', 'Cumulative count of writes completed', u => u.writes, device)
  pressures(out, rows, at, options.pressure)
  containerSpecs(out, rows, at, options)
  networks(out, sample)
  machineMetrics(out, options.machine)
  return out.text()
}

/** KubeletPSI: for how long some, or all, of a group's tasks had to wait for something. */
function pressures(out: Exposition, rows: readonly Row[], at: number, pressure: Sampler['pressure']): void {
  for (const [resource, name] of [
    ['cpu', 'CPU'],
    ['memory', 'memory'],
    ['io', 'IO'],
  ] as const) {
    const told = rows.flatMap(({ labels, cgroup }) => ({ labels, ...pressure(cgroup, resource) }))
    const each = (which: 'some' | 'full', metric: string, help: string): void => {
      out.metric(
        `container_pressure_${resource}_${metric}_seconds_total`,
        'counter',
        `Total time duration ${help} due to ${name} congestion.`,
      )
      for (const row of told) if (row[which]) out.sample(`{${row.labels}}`, row[which].total / 1e9, at)
    }
    each('full', 'stalled', 'no tasks in the container could make progress')
    each('some', 'waiting', 'tasks in the container have waited')
  }
}

/** The pod's own line comes first. */
function rowsOf(p: PodSample): Row[] {
  const { namespace, pod } = podLabels(p)
  const own = { labels: withLabels({ ...noContainer, id: p.cgroup, namespace, pod }), cgroup: p.cgroup, used: p.used }
  const containers = p.containers.map(sample => ({
    labels: withLabels({ container: sample.name, id: sample.cgroup, image: sample.image, name: sample.id, namespace, pod }),
    cgroup: sample.cgroup,
    used: sample.used,
    container: { sample, of: p },
  }))
  return p.containers.length === 0 ? [] : [own, ...containers]
}
/** Without braces: some metrics have more. */
const withLabels = (labels: Labels): string => labelsOf(labels).slice(1, -1)

/** What containers may use, what they have on disk, and since when they run. */
function containerSpecs(out: Exposition, rows: readonly Row[], at: number, { fs, storage }: CadvisorOptions): void {
  const containers = rows.flatMap(({ labels, container }) => {
    if (!container) return []
    const { sample, of } = container
    const spec = findContainer(of.pod, sample.name)?.container
    const disk = storage.get(uidOf(of.pod))?.containers.find(c => c.name === sample.name)
    return [{ labels, sample, disk, resources: kernelResources(withinPod(spec?.resources, of.pod.spec.resources?.limits)) }]
  })
  const each = (name: string, help: string, value: (c: (typeof containers)[number]) => number | undefined, more = ''): void => {
    out.metric(name, 'gauge', help)
    for (const c of containers) {
      const n = value(c)
      if (n !== undefined) out.sample(`{${c.labels}${more}}`, n, at)
    }
  }
  const device = ',device=""'
  each(
    'container_fs_usage_bytes',
    'Number of bytes that are consumed by the container on this filesystem.',
    c => c.disk?.rootfs.usedBytes,
    device,
  )
  each(
    'container_fs_limit_bytes',
    'Number of bytes that can be consumed by the container on this filesystem.',
    () => fs.capacityBytes,
    device,
  )
  each('container_fs_inodes_total', 'Number of Inodes', () => fs.inodes, device)
  each('container_fs_inodes_free', 'Number of available Inodes', () => fs.inodesFree, device)
  each('container_spec_cpu_period', 'CPU period of the container.', () => 100_000)
  each('container_spec_cpu_quota', 'CPU quota of the container.', ({ resources: { cpuQuotaMicros: q } }) => (q && q > 0 ? q : undefined))
  each('container_spec_cpu_shares', 'CPU share of the container.', c => c.resources.cpuShares)
  each('container_spec_memory_limit_bytes', 'Memory limit for the container.', ({ resources: { memoryBytes: m } }) => (m && m > 0 ? m : 0))
  each(
    'container_start_time_seconds',
    'Start time of the container since unix epoch in seconds.',
    c => Date.parse(c.sample.startedAt) / 1000,
  )
  each('container_last_seen', 'Last time a container was seen by the exporter', () => Math.floor(at / 1000))
}

const directions = ['receive', 'transmit'] as const
const counted = [
  ['bytes', 'Bytes', 'bytes'],
  ['packets', 'Packets', 'packets'],
  ['errors', 'Errors', 'errors encountered'],
  ['packets_dropped', 'Dropped', 'packets dropped'],
] as const

/** Of pods, as they see them, and of the node itself. */
function networks(out: Exposition, { pods, at }: Sample): void {
  const nodes = interfacesOf('self').filter(i => !i.name.startsWith('veth'))
  const labels = (base: Labels, i: InterfaceStats): string => `{${withLabels(base)},interface="${i.name}"}`
  const rows = [
    ...nodes.map(i => ({ labels: labels({ ...noContainer, id: '/', namespace: '', pod: '' }, i), i })),
    ...pods.flatMap(p => p.interfaces.map(i => ({ labels: labels({ ...noContainer, id: p.cgroup, ...podLabels(p) }, i), i }))),
  ]
  for (const direction of directions) {
    for (const [name, field, what] of counted) {
      const how = direction === 'receive' ? 'received' : 'transmitted'
      const told = name === 'errors' ? `${what} while ${direction === 'receive' ? 'receiving' : 'transmitting'}` : `${what} ${how}`
      out.metric(`container_network_${direction}_${name}_total`, 'counter', `Cumulative count of ${told}`)
      const key = `${direction === 'receive' ? 'rx' : 'tx'}${field}` as const
      for (const row of rows) out.sample(row.labels, row.i[key], at)
    }
  }
}

function machineMetrics(out: Exposition, machine: Machine): void {
  const ids = labelsOf({ boot_id: machine.bootID, machine_id: machine.machineID, system_uuid: machine.systemUUID })
  const one = (name: string, help: string, value: number): void => {
    out.metric(name, 'gauge', help)
    out.sample(ids, value)
  }
  one('machine_cpu_cores', 'Number of logical CPU cores.', machine.cpus)
  one('machine_memory_bytes', 'Amount of memory installed on the machine.', machine.memoryBytes)
  one('machine_swap_bytes', 'Amount of swap memory available on the machine.', machineMemory().swapTotal)
  out.metric(
    'cadvisor_version_info',
    'gauge',
    "A metric with a constant '1' value labeled by kernel version, OS version, docker version, cadvisor version & cadvisor revision.",
  )
  out.sample(
    labelsOf({
      cadvisorRevision: '',
      cadvisorVersion: '',
      dockerVersion: '',
      kernelVersion: machine.kernelVersion,
      osVersion: machine.osImage,
    }),
    1,
  )
  out.metric('container_scrape_error', 'gauge', '1 if there was an error while getting container metrics, 0 otherwise')
  out.sample('', 0)
}
