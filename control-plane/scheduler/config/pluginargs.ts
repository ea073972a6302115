/** The arguments of plugins: what they may be, upstream's defaults and rules. pkg/scheduler/apis/config */
import { topologySpreadConstraint } from '#shared/api/core/podspec/scheduling.ts'
import { nodeAffinity } from '#shared/api/core/podspec/affinity.ts'
import { validateNodeSelector } from '#shared/api/core/podspec/affinityvalidation.ts'
import { typeMeta } from '#shared/api/meta/objectmeta.ts'
import { validateLabelName } from '#shared/api/meta/validation.ts'
import { parseDuration } from '#shared/machinery/duration.ts'
import { duplicate, forbidden, invalid, notSupported, required, type FieldError, type Path } from '#shared/machinery/field.ts'
import { bool, duration, int32, int64, list, obj, opt, req, str, type Infer, type ObjectSchema } from '#shared/machinery/schema.ts'

const kindOf = (kind: string): string => `io.k8s.kube-scheduler.config.v1.${kind}`
const resourceSpec = obj(kindOf('ResourceSpec'), '', () => ({ name: req(1, str()), weight: opt(2, int64()) }))
export type ResourceSpec = Infer<typeof resourceSpec>
const shapePoint = obj(kindOf('UtilizationShapePoint'), '', () => ({ utilization: req(1, int32()), score: req(2, int32()) }))
export type UtilizationShapePoint = Infer<typeof shapePoint>
const requestedToCapacityRatio = obj(kindOf('RequestedToCapacityRatioParam'), '', () => ({ shape: opt(1, list(shapePoint)) }))
const scoringStrategy = obj(kindOf('ScoringStrategy'), '', () => ({
  type: opt(1, str()),
  resources: opt(2, list(resourceSpec)),
  requestedToCapacityRatio: opt(3, requestedToCapacityRatio),
}))
export type ScoringStrategy = Infer<typeof scoringStrategy>

/** A kind of arguments. `validate` is given them with their defaults. */
export interface ArgsKind<S extends ObjectSchema = ObjectSchema> {
  readonly schema: S
  readonly defaults: (args: Infer<S>) => void
  readonly validate: (args: Infer<S>, at: Path) => FieldError[]
}
const args = <S extends ObjectSchema>(kind: ArgsKind<S>): ArgsKind<S> => kind

const cpuAndMemory = (): ResourceSpec[] => [
  { name: 'cpu', weight: 1 },
  { name: 'memory', weight: 1 },
]
const weighted = (resources: ResourceSpec[] | undefined): ResourceSpec[] =>
  resources?.length ? resources.map(r => ({ ...r, weight: r.weight || 1 })) : cpuAndMemory()
const outOf = (value: number | undefined, min: number, max: number): boolean => (value ?? 0) < min || (value ?? 0) > max

export const nodeResourcesFitArgs = args({
  schema: obj(kindOf('NodeResourcesFitArgs'), '', () => ({
    ...typeMeta(),
    ignoredResources: opt(1, list(str())),
    ignoredResourceGroups: opt(2, list(str())),
    scoringStrategy: opt(3, scoringStrategy),
  })),
  defaults(a) {
    a.scoringStrategy ??= { type: 'LeastAllocated' }
    a.scoringStrategy.resources = weighted(a.scoringStrategy.resources)
  },
  validate: ({ ignoredResources = [], ignoredResourceGroups = [], scoringStrategy: strategy }, at) => [
    ...ignoredResources.flatMap((name, i) => validateLabelName(name, at.child('ignoredResources').index(i))),
    ...ignoredResourceGroups.flatMap((group, i) => {
      const here = at.child('ignoredResourceGroups').index(i)
      return [
        ...(group.includes('/') ? [invalid(here, group, "resource group name can't contain '/'")] : []),
        ...validateLabelName(group, here),
      ]
    }),
    ...(strategy ? validateStrategy(strategy, at.child('scoringStrategy')) : []),
  ],
})
const strategies = ['LeastAllocated', 'MostAllocated', 'RequestedToCapacityRatio'] as const

function validateStrategy({ type = '', resources = [], requestedToCapacityRatio: ratio }: ScoringStrategy, at: Path): FieldError[] {
  const isRatio = type === 'RequestedToCapacityRatio'
  const param = at.child('requestedToCapacityRatio')
  return [
    ...(strategies.some(s => s === type) ? [] : [notSupported(at.child('type'), type, strategies)]),
    ...resources.flatMap(({ name, weight }, i) =>
      outOf(weight, 1, 100)
        ? [invalid(at.child('resources').index(i).child('weight'), weight, `resource weight of ${name} not in valid range (0, 100]`)]
        : [],
    ),
    ...(isRatio && !ratio ? [required(param, 'must be specified when type is RequestedToCapacityRatio')] : []),
    ...(ratio ? validateShape(ratio.shape ?? [], at.child('shape')) : []),
  ]
}

function validateShape(shape: readonly UtilizationShapePoint[], at: Path): FieldError[] {
  if (shape.length === 0) return [required(at, 'at least one point must be specified')]
  const unsorted = shape.findIndex((p, i) => i > 0 && shape[i - 1]!.utilization >= p.utilization)
  return [
    ...(unsorted > 0
      ? [invalid(at.index(unsorted).child('utilization'), shape[unsorted]!.utilization, 'values must be sorted in increasing order')]
      : []),
    ...shape.flatMap((p, i) => [
      ...(outOf(p.utilization, 0, 100) ? [invalid(at.index(i).child('utilization'), p.utilization, 'not in valid range [0, 100]')] : []),
      ...(outOf(p.score, 0, 10) ? [invalid(at.index(i).child('score'), p.score, 'not in valid range [0, 10]')] : []),
    ]),
  ]
}

export const balancedAllocationArgs = args({
  schema: obj(kindOf('NodeResourcesBalancedAllocationArgs'), '', () => ({ ...typeMeta(), resources: opt(1, list(resourceSpec)) })),
  defaults(a) {
    a.resources = weighted(a.resources)
  },
  validate: ({ resources = [] }, at) =>
    resources.flatMap(({ name, weight }, i) => {
      const here = at.child('resources').index(i)
      return [
        ...(resources.findIndex(r => r.name === name) < i ? [duplicate(here.child('name'), name)] : []),
        ...(weight === 1 ? [] : [invalid(here.child('weight'), weight, 'must be 1')]),
      ]
    }),
})

export const podTopologySpreadArgs = args({
  schema: obj(kindOf('PodTopologySpreadArgs'), '', () => ({
    ...typeMeta(),
    defaultConstraints: opt(1, list(topologySpreadConstraint)),
    defaultingType: opt(2, str()),
  })),
  defaults(a) {
    a.defaultingType ||= 'System'
  },
  validate({ defaultConstraints = [], defaultingType }, at) {
    const constraints = at.child('defaultConstraints')
    return [
      ...(defaultingType === 'System' || defaultingType === 'List'
        ? []
        : [notSupported(at.child('defaultingType'), defaultingType, ['System', 'List'])]),
      ...(defaultingType === 'System' && defaultConstraints.length > 0
        ? [invalid(at.child('defaultingType'), defaultingType, 'when .defaultConstraints are not empty')]
        : []),
      ...defaultConstraints.flatMap(({ maxSkew, topologyKey, whenUnsatisfiable: when, labelSelector }, i) => {
        const here = constraints.index(i)
        const actions = ['DoNotSchedule', 'ScheduleAnyway']
        const first = defaultConstraints.findIndex(o => o.topologyKey === topologyKey && o.whenUnsatisfiable === when)
        return [
          ...(maxSkew > 0 ? [] : [invalid(here.child('maxSkew'), maxSkew, 'not in valid range (0, inf)')]),
          ...(topologyKey
            ? validateLabelName(topologyKey, here.child('topologyKey'))
            : [required(here.child('topologyKey'), 'can not be empty')]),
          ...(!when ? [required(here.child('whenUnsatisfiable'), 'can not be empty')] : []),
          ...(when && !actions.includes(when) ? [notSupported(here.child('whenUnsatisfiable'), when, actions)] : []),
          ...(labelSelector
            ? [forbidden(here.child('labelSelector'), 'constraint must not define a selector, as they deduced for each pod')]
            : []),
          ...(first < i ? [duplicate(here, `{${topologyKey}, ${when}}`)] : []),
        ]
      }),
    ]
  },
})

export const interPodAffinityArgs = args({
  schema: obj(kindOf('InterPodAffinityArgs'), '', () => ({
    ...typeMeta(),
    hardPodAffinityWeight: opt(1, int32()),
    ignorePreferredTermsOfExistingPods: opt(2, bool()),
  })),
  defaults(a) {
    a.hardPodAffinityWeight ??= 1
  },
  validate: ({ hardPodAffinityWeight: weight }, at) =>
    outOf(weight, 0, 100) ? [invalid(at.child('hardPodAffinityWeight'), weight, 'not in valid range [0, 100]')] : [],
})

export const nodeAffinityArgs = args({
  schema: obj(kindOf('NodeAffinityArgs'), '', () => ({ ...typeMeta(), addedAffinity: opt(1, nodeAffinity) })),
  defaults: () => {},
  validate({ addedAffinity }, at) {
    const wanted = addedAffinity?.requiredDuringSchedulingIgnoredDuringExecution
    return wanted ? validateNodeSelector(wanted, at.child('addedAffinity', 'requiredDuringSchedulingIgnoredDuringExecution')) : []
  },
})

export const defaultPreemptionArgs = args({
  schema: obj(kindOf('DefaultPreemptionArgs'), '', () => ({
    ...typeMeta(),
    minCandidateNodesPercentage: opt(1, int32()),
    minCandidateNodesAbsolute: opt(2, int32()),
  })),
  defaults(a) {
    a.minCandidateNodesPercentage ??= 10
    a.minCandidateNodesAbsolute ??= 100
  },
  validate({ minCandidateNodesPercentage: percentage, minCandidateNodesAbsolute: absolute }, at) {
    const [share, count] = [at.child('minCandidateNodesPercentage'), at.child('minCandidateNodesAbsolute')]
    return [
      ...(outOf(percentage, 0, 100) ? [invalid(share, percentage, 'not in valid range [0, 100]')] : []),
      ...((absolute ?? 0) < 0 ? [invalid(count, absolute, 'not in valid range [0, inf)')] : []),
      ...(percentage === 0 && absolute === 0
        ? [
            invalid(share, percentage, 'cannot be zero at the same time as minCandidateNodesAbsolute'),
            invalid(count, absolute, 'cannot be zero at the same time as minCandidateNodesPercentage'),
          ]
        : []),
    ]
  },
})

export const volumeBindingArgs = args({
  schema: obj(kindOf('VolumeBindingArgs'), '', () => ({
    ...typeMeta(),
    bindTimeoutSeconds: opt(1, int64()),
    shape: opt(2, list(shapePoint)),
  })),
  defaults: () => {},
  validate: ({ bindTimeoutSeconds: seconds = 600, shape }, at) => [
    ...(seconds < 0
      ? [invalid(at.child('bindTimeoutSeconds'), seconds, 'invalid BindTimeoutSeconds, should not be a negative value')]
      : []),
    ...(shape
      ? [invalid(at.child('shape'), shape, 'unexpected field `shape`, remove it or turn on the feature gate StorageCapacityScoring')]
      : []),
  ],
})
export const dynamicResourcesArgs = args({
  schema: obj(kindOf('DynamicResourcesArgs'), '', () => ({
    ...typeMeta(),
    filterTimeout: opt(1, duration()),
    bindingTimeout: opt(2, duration()),
  })),
  defaults: () => {},
  validate: ({ filterTimeout = '0s', bindingTimeout }, at) => [
    ...((parseDuration(filterTimeout) ?? 0) < 0 ? [invalid(at.child('filterTimeout'), filterTimeout, 'must be zero or positive')] : []),
    ...(bindingTimeout === undefined
      ? []
      : [forbidden(at.child('bindingTimeout'), 'DRADeviceBindingConditions or DRAResourceClaimDeviceStatus feature gate is disabled')]),
  ],
})

export type NodeResourcesFitArgs = Infer<typeof nodeResourcesFitArgs.schema>
export type BalancedAllocationArgs = Infer<typeof balancedAllocationArgs.schema>
export type PodTopologySpreadArgs = Infer<typeof podTopologySpreadArgs.schema>
export type InterPodAffinityArgs = Infer<typeof interPodAffinityArgs.schema>
export type NodeAffinityArgs = Infer<typeof nodeAffinityArgs.schema>
export type DefaultPreemptionArgs = Infer<typeof defaultPreemptionArgs.schema>
export type DynamicResourcesArgs = Infer<typeof dynamicResourcesArgs.schema>
export type VolumeBindingArgs = Infer<typeof volumeBindingArgs.schema>
