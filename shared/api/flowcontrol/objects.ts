/** Objects of flow control, in short. */
import type { FlowSchema, PolicyRulesWithSubjects, ResourcePolicyRule, Subject } from './flowschema.ts'
import type { PriorityLevelConfiguration, PriorityLevelConfigurationSpec } from './prioritylevelconfiguration.ts'

const apiVersion = 'flowcontrol.apiserver.k8s.io/v1'

export const levelObject = (name: string, spec: PriorityLevelConfigurationSpec): PriorityLevelConfiguration =>
  ({ kind: 'PriorityLevelConfiguration', apiVersion, metadata: { name }, spec, status: {} }) as PriorityLevelConfiguration

export const schemaObject = (
  name: string,
  level: string,
  matchingPrecedence: number,
  distinguisher: 'ByUser' | 'ByNamespace' | undefined,
  rules: PolicyRulesWithSubjects[],
): FlowSchema =>
  ({
    kind: 'FlowSchema',
    apiVersion,
    metadata: { name },
    spec: {
      priorityLevelConfiguration: { name: level },
      matchingPrecedence,
      ...(distinguisher === undefined ? {} : { distinguisherMethod: { type: distinguisher } }),
      rules,
    },
    status: {},
  }) as FlowSchema

export const users = (...names: string[]): Subject[] => names.map(name => ({ kind: 'User', user: { name } }))
export const groups = (...names: string[]): Subject[] => names.map(name => ({ kind: 'Group', group: { name } }))
export const kubeSystemAccounts = (...names: string[]): Subject[] =>
  names.map(name => ({ kind: 'ServiceAccount', serviceAccount: { name, namespace: 'kube-system' } }))

/** Everything that somebody asks for. */
export const allOf = (subjects: Subject[]): PolicyRulesWithSubjects => ({
  subjects,
  resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'], clusterScope: true, namespaces: ['*'] }],
  nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
})

export const resourceRule = (verbs: string[], apiGroup: string, resources: string[], clusterScope = false): ResourcePolicyRule => ({
  verbs,
  apiGroups: [apiGroup],
  resources,
  ...(clusterScope ? { clusterScope } : {}),
  namespaces: ['*'],
})
