/**
 * Environment variables of a container and where their values come from.
 * https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
 */
import { bool, inline, obj, opt, quantity, req, str, type Infer } from '../../../machinery/schema.ts'
import { localObjectReference } from '../objectreference.ts'

export const envVar = obj('io.k8s.api.core.v1.EnvVar', 'An environment variable.', () => ({
  name: req(1, str(), { doc: 'Name of the variable.' }),
  value: opt(2, str(), { doc: 'The value; $(VAR) is expanded, $$ is a dollar sign.' }),
  valueFrom: opt(3, envVarSource, { doc: 'Where else the value comes from.' }),
}))
export type EnvVar = Infer<typeof envVar>

export const envVarSource = obj('io.k8s.api.core.v1.EnvVarSource', 'Where the value of a variable comes from; one of them.', () => ({
  fieldRef: opt(1, objectFieldSelector, { doc: 'A field of the pod.' }),
  resourceFieldRef: opt(2, resourceFieldSelector, { doc: 'A resource of a container.' }),
  configMapKeyRef: opt(3, configMapKeySelector, { doc: 'A key of a ConfigMap.' }),
  secretKeyRef: opt(4, secretKeySelector, { doc: 'A key of a Secret.' }),
  fileKeyRef: opt(5, fileKeySelector, { doc: 'A key of an environment file in a volume.' }),
}))
export type EnvVarSource = Infer<typeof envVarSource>

export const envFromSource = obj('io.k8s.api.core.v1.EnvFromSource', 'An object whose keys become variables.', () => ({
  prefix: opt(1, str(), { doc: 'Put in front of every key.' }),
  configMapRef: opt(2, configMapEnvSource, { doc: 'The ConfigMap.' }),
  secretRef: opt(3, secretEnvSource, { doc: 'The Secret.' }),
}))
export type EnvFromSource = Infer<typeof envFromSource>

export const configMapEnvSource = obj('io.k8s.api.core.v1.ConfigMapEnvSource', 'A ConfigMap whose keys become variables.', () => ({
  ...inline(1, localObjectReference),
  optional: opt(2, bool(), { doc: 'Whether it may be missing.' }),
}))
export type ConfigMapEnvSource = Infer<typeof configMapEnvSource>

export const secretEnvSource = obj('io.k8s.api.core.v1.SecretEnvSource', 'A Secret whose keys become variables.', () => ({
  ...inline(1, localObjectReference),
  optional: opt(2, bool(), { doc: 'Whether it may be missing.' }),
}))
export type SecretEnvSource = Infer<typeof secretEnvSource>

export const objectFieldSelector = obj(
  'io.k8s.api.core.v1.ObjectFieldSelector',
  'Selects a field of the pod.',
  () => ({
    apiVersion: opt(1, str(), { doc: 'Version of the pod that the path is for.', default: 'v1' }),
    fieldPath: req(2, str(), { doc: 'Path of the field, such as metadata.name.' }),
  }),
  { atomic: true },
)
export type ObjectFieldSelector = Infer<typeof objectFieldSelector>

export const resourceFieldSelector = obj(
  'io.k8s.api.core.v1.ResourceFieldSelector',
  'Selects a resource of a container.',
  () => ({
    containerName: opt(1, str(), { doc: 'Container; needed in volumes, the own one in variables.' }),
    resource: req(2, str(), { doc: 'limits or requests and the resource, such as limits.cpu.' }),
    divisor: opt(3, quantity(), { doc: 'Unit in which the value is given; 1 when 0.', default: '0' }),
  }),
  { atomic: true },
)
export type ResourceFieldSelector = Infer<typeof resourceFieldSelector>

export const configMapKeySelector = obj(
  'io.k8s.api.core.v1.ConfigMapKeySelector',
  'Selects a key of a ConfigMap.',
  () => ({
    ...inline(1, localObjectReference),
    key: req(2, str(), { doc: 'The key.' }),
    optional: opt(3, bool(), { doc: 'Whether it may be missing.' }),
  }),
  { atomic: true },
)
export type ConfigMapKeySelector = Infer<typeof configMapKeySelector>

export const secretKeySelector = obj(
  'io.k8s.api.core.v1.SecretKeySelector',
  'Selects a key of a Secret.',
  () => ({
    ...inline(1, localObjectReference),
    key: req(2, str(), { doc: 'The key.' }),
    optional: opt(3, bool(), { doc: 'Whether it may be missing.' }),
  }),
  { atomic: true },
)
export type SecretKeySelector = Infer<typeof secretKeySelector>

export const fileKeySelector = obj(
  'io.k8s.api.core.v1.FileKeySelector',
  'Selects a key of an environment file.',
  () => ({
    volumeName: req(1, str(), { doc: 'Name of the volume.' }),
    path: req(2, str(), { doc: 'Path of the file in the volume.' }),
    key: req(3, str(), { doc: 'The key.' }),
    optional: opt(4, bool(), { doc: 'Whether file or key may be missing.', default: false }),
  }),
  { atomic: true },
)
export type FileKeySelector = Infer<typeof fileKeySelector>
