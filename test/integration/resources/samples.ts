/** One small valid object of each kind, by `group/plural`: what the suite of all resources needs to know of a kind. */
const template = { metadata: { labels: { app: 'sample' } }, spec: { containers: [{ name: 'c', image: 'nginx' }] } }
const selector = { matchLabels: { app: 'sample' } }

/** Of CN=sample; its key is nowhere. */
const certificateRequest = [
  'LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlITE1ITUNBUUF3RVRFUE1BMEdBMVVFQXhNR2MyRnRjR3hsTUZrd0V3WUhLb1pJemowQ0FR',
  'WUlLb1pJemowRApBUWNEUWdBRU8ramdRYzNrVlpzTnVMZmdIV29UUjhuS1h1eFhnN1BIaGtVajlFY1AvRVhPeXIyaTFvS3BHeDI4CjRDbGZpSTFIRmZmTnhS',
  'NG1zbGh5cC82WG11c2E1cUFBTUFvR0NDcUdTTTQ5QkFNQ0EwZ0FNRVVDSUYxZkVNbWgKOSthSFo5NTdpR1FWYTFjWnU5enhMSDdnYThsOFJjN1hOaTI4QWlF',
  'QXJIYkZ6WXBrdjFLMGhLSXIzV0NuV211egowamlzZElzV2tDUjBPNUVsSnhJPQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K',
].join('')
/** A certificate of an authority of CN=sample, whose key is nowhere. */
const anchor = [
  'MIIBeTCCAR+gAwIBAgIUS9JjNh1VSxzUScvs+GpvULvXLmMwCgYIKoZIzj0EAwIwETEPMA0GA1UEAwwGc2FtcGxlMCAXDTI2MTEyODE3MDQ0NVoYDzIxMjYxMTA0MTcw',
  'NDQ1WjARMQ8wDQYDVQQDDAZzYW1wbGUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATzXskcLKA92MVUbhhHOaN3wp6XSORjd+n77dHd/GL+/1JPfYYoBqpw5ZXiWypn',
  'eRpc3bRWkna6697MDHehnmyto1MwUTAdBgNVHQ4EFgQUtcI690HBWyJhZXAtCMy8wmcJoQEwHwYDVR0jBBgwFoAUtcI690HBWyJhZXAtCMy8wmcJoQEwDwYDVR0TAQH/',
  'BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA0BovYU5iC2rwHOAWRcPxFNpjmw7XdWwFl89Itwk/bsgCIDNN6C9SXdknV6CqbKT8dcgyHcFpy37X174Qf/bbzt3Q',
].join('')
const trustBundle = `-----BEGIN CERTIFICATE-----\n${anchor}\n-----END CERTIFICATE-----\n`
const rule = { operations: ['CREATE'], apiGroups: ['none.example.com'], apiVersions: ['v1'], resources: ['nones'] }
const webhook = {
  name: 'none.example.com',
  clientConfig: { service: { namespace: 'resources', name: 'none', path: '/judge' } },
  rules: [rule],
  sideEffects: 'None',
  admissionReviewVersions: ['v1'],
  failurePolicy: 'Ignore',
}

/** Without apiVersion, kind and name, which may have to fit to the rest. */
export const samples: Readonly<Record<string, object | ((name: string) => object)>> = {
  '/configmaps': { data: { a: '1' } },
  '/endpoints': { subsets: [{ addresses: [{ ip: '10.1.2.3' }], ports: [{ port: 80 }] }] },
  '/events': { involvedObject: { kind: 'Pod', name: 'p', namespace: 'resources' }, reason: 'Sampled', message: 'text', type: 'Normal' },
  '/limitranges': { spec: { limits: [{ type: 'Container', max: { cpu: '2' }, default: { memory: '64Mi' } }] } },
  '/resourcequotas': { spec: { hard: { pods: '10', 'limits.cpu': '4' }, scopes: ['NotTerminating'] } },
  '/namespaces': {},
  '/nodes': { spec: { podCIDR: '10.9.0.0/24', podCIDRs: ['10.9.0.0/24'] } },
  '/pods': { spec: { containers: [{ name: 'c', image: 'nginx', env: [{ name: 'A', value: 'b' }], ports: [{ containerPort: 80 }] }] } },
  '/secrets': { stringData: { a: '1' }, type: 'Opaque' },
  '/serviceaccounts': { imagePullSecrets: [{ name: 's' }] },
  '/services': { spec: { selector: { app: 'sample' }, ports: [{ port: 80 }] } },
  'apps/daemonsets': { spec: { selector, template } },
  'apps/controllerrevisions': { data: { spec: { a: 1 } }, revision: 1 },
  '/podtemplates': { template },
  '/replicationcontrollers': { spec: { replicas: 2, selector: { app: 'sample' }, template } },
  'batch/jobs': { spec: { template: { ...template, spec: { ...template.spec, restartPolicy: 'Never' } } } },
  'batch/cronjobs': {
    spec: { schedule: '*/5 * * * *', jobTemplate: { spec: { template: { spec: { ...template.spec, restartPolicy: 'Never' } } } } },
  },
  'apps/statefulsets': {
    spec: {
      replicas: 2,
      selector,
      template,
      serviceName: 'sample',
      volumeClaimTemplates: [
        { metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } },
      ],
    },
  },
  'autoscaling/horizontalpodautoscalers': {
    spec: { scaleTargetRef: { kind: 'Deployment', name: 'web', apiVersion: 'apps/v1' }, maxReplicas: 3 },
  },
  'apps/deployments': { spec: { replicas: 2, selector, template } },
  'policy/poddisruptionbudgets': { spec: { minAvailable: 1, selector } },
  'apps/replicasets': { spec: { replicas: 2, selector, template } },
  'scheduling.k8s.io/priorityclasses': { value: 1000, description: 'text' },
  'certificates.k8s.io/certificatesigningrequests': {
    spec: { request: certificateRequest, signerName: 'example.com/sample', usages: ['client auth'] },
  },
  'certificates.k8s.io/clustertrustbundles': { spec: { trustBundle } },
  'coordination.k8s.io/leases': { spec: { holderIdentity: 'me', leaseDurationSeconds: 10 } },
  'discovery.k8s.io/endpointslices': { addressType: 'IPv4', endpoints: [{ addresses: ['10.1.2.3'] }], ports: [{ name: 'http', port: 80 }] },
  'rbac.authorization.k8s.io/clusterroles': { rules: [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }] },
  'rbac.authorization.k8s.io/clusterrolebindings': {
    roleRef: { kind: 'ClusterRole', name: 'view' },
    subjects: [{ kind: 'User', name: 'u' }],
  },
  'rbac.authorization.k8s.io/roles': { rules: [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }] },
  'rbac.authorization.k8s.io/rolebindings': {
    roleRef: { kind: 'Role', name: 'r' },
    subjects: [{ kind: 'ServiceAccount', name: 'default' }],
  },
  'networking.k8s.io/networkpolicies': { spec: { podSelector: selector, ingress: [{ ports: [{ port: 80 }] }] } },
  'networking.k8s.io/ingresses': { spec: { defaultBackend: { service: { name: 'web', port: { number: 80 } } } } },
  'networking.k8s.io/ingressclasses': { spec: { controller: 'example.com/controller' } },
  'networking.k8s.io/ipaddresses': { spec: { parentRef: { resource: 'services', namespace: 'resources', name: 'web' } } },
  'networking.k8s.io/servicecidrs': { spec: { cidrs: ['10.77.0.0/24'] } },
  'flowcontrol.apiserver.k8s.io/flowschemas': {
    spec: {
      priorityLevelConfiguration: { name: 'catch-all' },
      matchingPrecedence: 700,
      distinguisherMethod: { type: 'ByUser' },
      rules: [
        {
          subjects: [{ kind: 'User', user: { name: 'nobody-at-all' } }],
          resourceRules: [{ verbs: ['get'], apiGroups: [''], resources: ['pods'], namespaces: ['*'] }],
        },
      ],
    },
  },
  'flowcontrol.apiserver.k8s.io/prioritylevelconfigurations': {
    spec: {
      type: 'Limited',
      limited: { nominalConcurrencyShares: 1, limitResponse: { type: 'Queue', queuing: { queues: 4, handSize: 2, queueLengthLimit: 5 } } },
    },
  },
  '/persistentvolumes': { spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/data' } } },
  '/persistentvolumeclaims': { spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } },
  'storage.k8s.io/storageclasses': { provisioner: 'example.com/disk', parameters: { type: 'fast' } },
  'storage.k8s.io/csidrivers': { spec: { attachRequired: false } },
  'storage.k8s.io/csinodes': { spec: { drivers: [{ name: 'disk.example.com', nodeID: 'n', topologyKeys: ['example.com/zone'] }] } },
  'storage.k8s.io/csistoragecapacities': { storageClassName: 'fast', nodeTopology: selector, capacity: '10Gi' },
  'storage.k8s.io/volumeattachments': { spec: { attacher: 'disk.example.com', nodeName: 'n', source: { persistentVolumeName: 'v' } } },
  'storage.k8s.io/volumeattributesclasses': { driverName: 'disk.example.com', parameters: { iops: '100' } },
  'node.k8s.io/runtimeclasses': { handler: 'runc', overhead: { podFixed: { cpu: '10m' } } },
  'admissionregistration.k8s.io/validatingwebhookconfigurations': { webhooks: [webhook] },
  'admissionregistration.k8s.io/mutatingwebhookconfigurations': { webhooks: [webhook] },
  'admissionregistration.k8s.io/validatingadmissionpolicies': {
    spec: { matchConstraints: { resourceRules: [{ ...rule, resourceNames: ['none'] }] }, validations: [{ expression: 'true' }] },
  },
  'admissionregistration.k8s.io/validatingadmissionpolicybindings': { spec: { policyName: 'none', validationActions: ['Audit'] } },
  'admissionregistration.k8s.io/mutatingadmissionpolicies': {
    spec: {
      matchConstraints: { resourceRules: [{ ...rule, resourceNames: ['none'] }] },
      mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression: 'Object{}' } }],
      reinvocationPolicy: 'Never',
    },
  },
  'admissionregistration.k8s.io/mutatingadmissionpolicybindings': { spec: { policyName: 'none' } },
  // Of this server: the status of others is written.
  'apiregistration.k8s.io/apiservices': name => ({
    spec: {
      group: name.slice('v1.'.length),
      version: 'v1',
      groupPriorityMinimum: 100,
      versionPriority: 100,
    },
  }),
  'apiextensions.k8s.io/customresourcedefinitions': name => ({
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: name.split('.')[0], kind: `${name[0]!.toUpperCase()}${name.slice(1).split('.')[0]}` },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
    },
  }),
  'resource.k8s.io/deviceclasses': { spec: { selectors: [{ cel: { expression: 'true' } }] } },
  'resource.k8s.io/resourceclaims': { spec: { devices: { requests: [{ name: 'gpu', exactly: { deviceClassName: 'gpus' } }] } } },
  'resource.k8s.io/resourceclaimtemplates': {
    spec: { spec: { devices: { requests: [{ name: 'gpu', exactly: { deviceClassName: 'gpus' } }] } } },
  },
  'resource.k8s.io/resourceslices': {
    spec: {
      driver: 'gpu.example.com',
      pool: { name: 'p', generation: 1, resourceSliceCount: 1 },
      allNodes: true,
      devices: [{ name: 'gpu-0', attributes: { model: { string: 'x' } }, capacity: { memory: { value: '8Gi' } } }],
    },
  },
}

/** Names of kinds that take no other, made from those that the suite uses. None of these is generated. */
export const sampleNames: Readonly<Record<string, (name: string) => string>> = {
  'networking.k8s.io/ipaddresses': name => `10.55.${name.length}.${[...name].reduce((n, c) => (n * 7 + c.charCodeAt(0)) % 256, 0)}`,
  'apiregistration.k8s.io/apiservices': name => `v1.${name}.example.com`,
  'apiextensions.k8s.io/customresourcedefinitions': name => `${name}.example.com`,
}

/** Kinds whose status the API server writes by itself: when it has done that. */
export const settles: Readonly<Record<string, (object: any) => boolean>> = {
  // any: of the kind
  'apiextensions.k8s.io/customresourcedefinitions': d =>
    d.status.conditions?.some((c: { type: string; status: string }) => c.type === 'Established' && c.status === 'True') ?? false,
}

/** The same in another group or version of the kind, where it is written otherwise: by `group/version/plural`. */
export const samplesOf: Readonly<Record<string, object>> = {
  'events.k8s.io/v1/events': {
    eventTime: '2026-01-01T00:00:00.000000Z',
    reason: 'Sampled',
    action: 'Sampling',
    type: 'Normal',
    reportingController: 'sampler',
    reportingInstance: 'sampler-0',
    regarding: { kind: 'Pod', name: 'p', namespace: 'resources' },
  },
}
