/** The types of `request` and `namespaceObject` in expressions: k8s.io/apiserver/pkg/admission/plugin/cel/compile.go. */
import { lookUp } from '#shared/machinery/jsonvalue.ts'
import type { Type } from '../../cel/cel.ts'
import { cel } from '../../cel/load.ts'

const struct = (name: string, fields: Readonly<Record<string, Type>>): Type => cel().types.struct(name, field => lookUp(fields, field))

let request: Type | undefined
export function requestType(): Type {
  if (request) return request
  const { bool, dyn, list, map, string } = cel().types
  const kind = struct('kubernetes.GroupVersionKind', { group: string, version: string, kind: string })
  const resource = struct('kubernetes.GroupVersionResource', { group: string, version: string, resource: string })
  const extra = map(string, list(string))
  const userInfo = struct('kubernetes.UserInfo', { username: string, uid: string, groups: list(string), extra })
  return (request = struct('kubernetes.AdmissionRequest', {
    kind,
    resource,
    subResource: string,
    requestKind: kind,
    requestResource: resource,
    requestSubResource: string,
    name: string,
    namespace: string,
    operation: string,
    userInfo,
    dryRun: bool,
    options: dyn,
  }))
}

let namespace: Type | undefined
export function namespaceType(): Type {
  if (namespace) return namespace
  const { int, list, map, string, timestamp } = cel().types
  const condition = struct('kubernetes.NamespaceCondition', {
    status: string,
    type: string,
    lastTransitionTime: timestamp,
    message: string,
    reason: string,
  })
  const metadata = struct('kubernetes.NamespaceMetadata', {
    name: string,
    generateName: string,
    namespace: string,
    labels: map(string, string),
    annotations: map(string, string),
    UID: string,
    creationTimestamp: timestamp,
    deletionGracePeriodSeconds: int,
    deletionTimestamp: timestamp,
    generation: int,
    resourceVersion: string,
    finalizers: list(string),
  })
  return (namespace = struct('kubernetes.Namespace', {
    metadata,
    spec: struct('kubernetes.NamespaceSpec', { finalizers: list(string) }),
    status: struct('kubernetes.NamespaceStatus', { conditions: list(condition), phase: string }),
  }))
}
