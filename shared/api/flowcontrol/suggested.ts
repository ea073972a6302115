/**
 * The levels and schemas that upstream suggests (k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap): made in every cluster, and kept as they
 * are unless somebody changes them.
 */
import type { FlowSchema } from './flowschema.ts'
import { allOf, groups, kubeSystemAccounts, levelObject, resourceRule, schemaObject, users } from './objects.ts'
import type { PriorityLevelConfiguration } from './prioritylevelconfiguration.ts'

const level = (name: string, shares: number, lendablePercent: number, queues: number, handSize: number): PriorityLevelConfiguration =>
  levelObject(name, {
    type: 'Limited',
    limited: {
      nominalConcurrencyShares: shares,
      lendablePercent,
      limitResponse: { type: 'Queue', queuing: { queues, handSize, queueLengthLimit: 50 } },
    },
  })

export const suggestedPriorityLevels: readonly PriorityLevelConfiguration[] = [
  // What keeps the cluster itself running: kubelets.
  level('system', 30, 33, 64, 6),
  // That a node lives is reported even when what its pods need for their start is too much.
  level('node-high', 40, 25, 64, 6),
  level('leader-election', 10, 0, 16, 4),
  // The scheduler and built-in controllers.
  level('workload-high', 40, 50, 128, 6),
  level('workload-low', 100, 90, 128, 6),
  level('global-default', 20, 50, 128, 6),
]

const elects = ['get', 'create', 'update']
const controllerManager = 'system:kube-controller-manager'
const scheduler = 'system:kube-scheduler'
const leases = 'coordination.k8s.io'
const everybody = groups('system:unauthenticated', 'system:authenticated')

export const suggestedFlowSchemas: readonly FlowSchema[] = [
  schemaObject('probes', 'exempt', 2, undefined, [
    { subjects: everybody, nonResourceRules: [{ verbs: ['get'], nonResourceURLs: ['/healthz', '/readyz', '/livez'] }] },
  ]),
  schemaObject('system-leader-election', 'leader-election', 100, 'ByUser', [
    {
      subjects: [...users(controllerManager, scheduler), ...kubeSystemAccounts('*')],
      resourceRules: [resourceRule(elects, leases, ['leases'])],
    },
  ]),
  schemaObject('endpoint-controller', 'workload-high', 150, 'ByUser', [
    {
      subjects: [...users(controllerManager), ...kubeSystemAccounts('endpoint-controller', 'endpointslicemirroring-controller')],
      resourceRules: [resourceRule(elects, '', ['endpoints'])],
    },
  ]),
  schemaObject('workload-leader-election', 'leader-election', 200, 'ByUser', [
    {
      subjects: kubeSystemAccounts('*'),
      resourceRules: [resourceRule(elects, '', ['endpoints', 'configmaps']), resourceRule(elects, leases, ['leases'])],
    },
  ]),
  schemaObject('system-node-high', 'node-high', 400, 'ByUser', [
    {
      subjects: groups('system:nodes'),
      resourceRules: [resourceRule(['*'], '', ['nodes', 'nodes/status'], true), resourceRule(['*'], leases, ['leases'])],
    },
  ]),
  schemaObject('system-nodes', 'system', 500, 'ByUser', [allOf(groups('system:nodes'))]),
  schemaObject('kube-controller-manager', 'workload-high', 800, 'ByNamespace', [allOf(users(controllerManager))]),
  schemaObject('kube-scheduler', 'workload-high', 800, 'ByNamespace', [allOf(users(scheduler))]),
  schemaObject('kube-system-service-accounts', 'workload-high', 900, 'ByNamespace', [allOf(kubeSystemAccounts('*'))]),
  schemaObject('service-accounts', 'workload-low', 9000, 'ByUser', [allOf(groups('system:serviceaccounts'))]),
  schemaObject('global-default', 'global-default', 9900, 'ByUser', [allOf(everybody)]),
]
