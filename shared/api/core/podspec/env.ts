/** Environment variables of a container and where their values come from. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { bool, inline, obj, opt, quantity, req, str, type Infer } from '../../../machinery/schema.ts'
import { localObjectReference } from '../objectreference.ts'

export const envVar = obj('io.k8s.api.core.v1.EnvVar', '', () => ({
  name: req(1, str()),
  value: opt(2, str()),
  valueFrom: opt(3, envVarSource),
}))
export type EnvVar = Infer<typeof envVar>

export const envVarSource = obj('io.k8s.api.core.v1.EnvVarSource', '', () => ({
  fieldRef: opt(1, objectFieldSelector),
  resourceFieldRef: opt(2, resourceFieldSelector),
  configMapKeyRef: opt(3, configMapKeySelector),
  secretKeyRef: opt(4, secretKeySelector),
  fileKeyRef: opt(5, fileKeySelector),
}))
export type EnvVarSource = Infer<typeof envVarSource>

export const envFromSource = obj('io.k8s.api.core.v1.EnvFromSource', '', () => ({
  prefix: opt(1, str()),
  configMapRef: opt(2, configMapEnvSource),
  secretRef: opt(3, secretEnvSource),
}))
export type EnvFromSource = Infer<typeof envFromSource>

export const configMapEnvSource = obj('io.k8s.api.core.v1.ConfigMapEnvSource', '', () => ({
  ...inline(1, localObjectReference),
  optional: opt(2, bool()),
}))
export type ConfigMapEnvSource = Infer<typeof configMapEnvSource>

export const secretEnvSource = obj('io.k8s.api.core.v1.SecretEnvSource', '', () => ({
  ...inline(1, localObjectReference),
  optional: opt(2, bool()),
}))
export type SecretEnvSource = Infer<typeof secretEnvSource>

export const objectFieldSelector = obj(
  'io.k8s.api.core.v1.ObjectFieldSelector',
  '',
  () => ({
    apiVersion: opt(1, str(), { default: 'v1' }),
    fieldPath: req(2, str()),
  }),
  { atomic: true },
)
export type ObjectFieldSelector = Infer<typeof objectFieldSelector>

export const resourceFieldSelector = obj(
  'io.k8s.api.core.v1.ResourceFieldSelector',
  '',
  () => ({
    containerName: opt(1, str()),
    resource: req(2, str()),
    divisor: opt(3, quantity(), { default: '0' }),
  }),
  { atomic: true },
)
export type ResourceFieldSelector = Infer<typeof resourceFieldSelector>

export const configMapKeySelector = obj(
  'io.k8s.api.core.v1.ConfigMapKeySelector',
  '',
  () => ({
    ...inline(1, localObjectReference),
    key: req(2, str()),
    optional: opt(3, bool()),
  }),
  { atomic: true },
)
export type ConfigMapKeySelector = Infer<typeof configMapKeySelector>

export const secretKeySelector = obj(
  'io.k8s.api.core.v1.SecretKeySelector',
  '',
  () => ({
    ...inline(1, localObjectReference),
    key: req(2, str()),
    optional: opt(3, bool()),
  }),
  { atomic: true },
)
export type SecretKeySelector = Infer<typeof secretKeySelector>

export const fileKeySelector = obj(
  'io.k8s.api.core.v1.FileKeySelector',
  '',
  () => ({
    volumeName: req(1, str()),
    path: req(2, str()),
    key: req(3, str()),
    optional: opt(4, bool(), { default: false }),
  }),
  { atomic: true },
)
export type FileKeySelector = Infer<typeof fileKeySelector>
