/** From the API's objects to the facts that the judge looks at. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { Event } from '#shared/api/core/event.ts'
import type { CronJob } from '#shared/api/batch/cronjob.ts'
import type { Job } from '#shared/api/batch/job.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { configMaps, cronJobs, deployments, endpointSlices, events, jobs, nodes, pods, replicaSets, services } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { ContainerFact, Fact, JobFact, PodFact, SliceFact, WorkloadFact } from './history.ts'

/** Where chaos writes its config maps. */
export const chaosNamespace = 'cox-chaos'
export const markKey = 'mark'

export interface Observed {
  kind: Kind<KubeObject>
  namespace?: string
  fieldSelector?: string
  fact: (object: KubeObject) => Omit<Fact, 'kind' | 'namespace' | 'name' | 'uid' | 'version' | 'generation'>
}

const observed = <T>(
  kind: Kind<T>,
  fact: (object: T) => ReturnType<Observed['fact']>,
  where: Pick<Observed, 'namespace' | 'fieldSelector'> = {},
): Observed => ({
  kind: kind as unknown as Kind<KubeObject>,
  fact: object => fact(object as T),
  ...where,
})

/** What a workload of any kind says of itself. */
interface Workload {
  spec?: { replicas?: number; paused?: boolean; updateStrategy?: { type?: string } }
  status?: Partial<Record<string, number>>
}
const sized = ({ spec = {}, status = {} }: Workload): { workload: WorkloadFact } => {
  const desired = spec.replicas ?? 1
  const heldBack = spec.paused === true || spec.updateStrategy?.type === 'OnDelete' || status['updatedReplicas'] === undefined
  return {
    workload: {
      observedGeneration: status['observedGeneration'] ?? 0,
      desired,
      current: status['replicas'] ?? 0,
      updated: heldBack && (status['replicas'] ?? 0) === desired ? desired : (status['updatedReplicas'] ?? 0),
      ready: status['readyReplicas'] ?? 0,
    },
  }
}
const perNode = ({ spec = {}, status = {} }: Workload): { workload: WorkloadFact } => ({
  workload: {
    observedGeneration: status['observedGeneration'] ?? 0,
    desired: status['desiredNumberScheduled'] ?? 0,
    current: status['currentNumberScheduled'] ?? 0,
    updated: spec.updateStrategy?.type === 'OnDelete' ? (status['desiredNumberScheduled'] ?? 0) : (status['updatedNumberScheduled'] ?? 0),
    ready: status['numberReady'] ?? 0,
  },
})

function podFact({ metadata, spec, status = {} }: Pod): PodFact {
  const owner = metadata.ownerReferences?.find(o => o.controller)
  const disruption = status.conditions?.find(c => c.type === 'DisruptionTarget' && c.status === 'True')
  return {
    node: spec.nodeName ?? '',
    phase: status.phase ?? 'Pending',
    terminating: metadata.deletionTimestamp !== undefined,
    ready: status.conditions?.some(c => c.type === 'Ready' && c.status === 'True') ?? false,
    ...(owner ? { owner: { kind: owner.kind, name: owner.name, uid: owner.uid } } : {}),
    labels: metadata.labels ?? {},
    containers: [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])].map((c): ContainerFact => {
      const { terminated } = c.lastState ?? {}
      return {
        name: c.name,
        id: bareId(c.containerID),
        restarts: c.restartCount,
        state: c.state?.running ? 'running' : c.state?.terminated ? 'terminated' : 'waiting',
        ...(c.state?.waiting?.reason ? { waiting: c.state.waiting.reason } : {}),
        ready: c.ready,
        ...(terminated
          ? { last: { reason: terminated.reason ?? '', exitCode: terminated.exitCode, id: bareId(terminated.containerID) } }
          : {}),
      }
    }),
    ...(disruption ? { disruption: disruption.reason ?? '' } : {}),
  }
}
function jobFact({ metadata, spec, status = {} }: Job): JobFact {
  const cronJob = metadata.ownerReferences?.find(o => o.controller && o.kind === 'CronJob')?.uid
  return {
    ...(spec.completions === undefined ? {} : { completions: spec.completions }),
    succeeded: status.succeeded ?? 0,
    complete: status.conditions?.some(c => c.type === 'Complete' && c.status === 'True') ?? false,
    ...(cronJob === undefined ? {} : { cronJob }),
  }
}
const everyMinute = ({ spec }: CronJob): boolean =>
  spec.schedule === '* * * * *' && spec.suspend !== true && (spec.concurrencyPolicy ?? 'Allow') === 'Allow'

/** Without `coxswain://`. */
const bareId = (id = ''): string => id.replace(/^.*:\/\//, '')

const sliceFact = ({ metadata, endpoints }: EndpointSlice): SliceFact => ({
  service:
    metadata.labels?.['endpointslice.kubernetes.io/managed-by'] === 'endpointslice-controller.k8s.io'
      ? (metadata.labels['kubernetes.io/service-name'] ?? '')
      : '',
  endpoints: (endpoints ?? []).map(e => ({
    uid: e.targetRef?.uid ?? '',
    ready: e.conditions?.ready ?? true,
    terminating: e.conditions?.terminating ?? false,
  })),
})

function probeFailure({ involvedObject, message = '' }: Event): { probeFailure?: string } {
  const container = /spec\.(?:initC|c)ontainers\{(.*)\}/.exec(involvedObject.fieldPath ?? '')?.[1]
  return container !== undefined && /failed (liveness|startup) probe/.test(message)
    ? { probeFailure: `${involvedObject.uid}/${container}` }
    : {}
}

/** Everything that is watched, of clusters that have it. */
export const observedKinds: readonly Observed[] = [
  observed<ConfigMap>(configMaps, o => (o.data?.[markKey] === undefined ? {} : { mark: o.data[markKey] }), { namespace: chaosNamespace }),
  observed<Node>(nodes, o => ({ node: { ready: o.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True') ?? false } })),
  observed<Pod>(pods, o => ({ pod: podFact(o) })),
  observed<Service>(services, ({ spec }) => ({
    service: {
      ...(spec.selector && spec.type !== 'ExternalName' ? { selector: spec.selector } : {}),
      publishNotReady: spec.publishNotReadyAddresses ?? false,
    },
  })),
  observed<EndpointSlice>(endpointSlices, o => ({ slice: sliceFact(o) })),
  observed(deployments, o => sized(o as unknown as Workload)),
  observed(replicaSets, o => sized(o as unknown as Workload)),
  observed({ group: 'apps', version: 'v1', kind: 'StatefulSet', plural: 'statefulsets', namespaced: true }, o => sized(o as Workload)),
  observed({ group: 'apps', version: 'v1', kind: 'DaemonSet', plural: 'daemonsets', namespaced: true }, o => perNode(o as Workload)),
  observed<Job>(jobs, o => ({ job: jobFact(o) })),
  observed<CronJob>(cronJobs, o => ({ cronJob: { everyMinute: everyMinute(o) } })),
  observed<Event>(events, probeFailure, { fieldSelector: 'reason=Killing' }),
]

/** The fact of an object. */
export function factOf({ kind, fact }: Observed, object: KubeObject): Fact {
  const { namespace = '', name = '', uid = '', resourceVersion, generation = 0 } = object.metadata
  return { kind: kind.plural, namespace, name, uid, version: Number(resourceVersion), generation, ...fact(object) }
}
