/** The flags of kube-apiserver. */
import * as z from 'zod'
import { boolFlag, durationFlag, intFlag, namesFlag } from '#shared/component/flags.ts'
import { authorizerTypes } from './authz/configuration.ts'
import { featureGatesFlag } from './featuregates.ts'

export const flags = z.object({
  natsUrl: z.string(),
  /** The authority that must vouch for nats-servers of another machine. */
  natsCaFile: z.string().optional(),
  registryCreds: z.string(),
  busCreds: z.string(),
  /** nats-server's `store_dir`, when it is on this machine and leaves syncing to its readers. */
  storeDir: z.string().optional(),
  /** Copies that nats-servers keep of what is stored: 3 where they are a cluster. When the store is made this decides, not later. */
  storeReplicas: intFlag().optional(),
  /**
   * A file, not in the store, for the newest version that the store is known to hold: on a store that ends before it the server refuses to
   * start.
   */
  storeRecord: z.string().optional(),
  bindAddress: z.array(z.string()).default(['127.0.0.1']),
  securePort: intFlag().default(6443),
  /** Several API servers may share one port of one address (SO_REUSEPORT). */
  permitPortSharing: boolFlag().default(false),
  advertiseAddress: z.string().optional(),
  tlsCertFile: z.string(),
  tlsPrivateKeyFile: z.string(),
  clientCaFile: z.string(),
  /** Keys that tokens are checked with: PEM files of one or more; that of the signing key is one without being named. */
  serviceAccountKeyFile: z.array(z.string()).default([]),
  serviceAccountSigningKeyFile: z.string().optional(),
  /** The first issues tokens; those of all are good. */
  serviceAccountIssuer: z.array(z.string()).default(['https://kubernetes.default.svc.cluster.local']),
  /** Where others find the issuer's keys; by default at this server. */
  serviceAccountJwksUri: z.string().startsWith('https://', 'requires https scheme').optional(),
  /** Audiences of this API; by default its issuers. */
  apiAudiences: z.array(z.string()).default([]),
  /** Longest life of a token, ms; 0: as long as is asked for. */
  serviceAccountMaxTokenExpiration: durationFlag().default(0),
  /** Whether pods' tokens live for a year, though they shall be read again within the hour. */
  serviceAccountExtendTokenExpiration: boolFlag().default(true),
  /** Comma-separated values: token, user, uid, groups. */
  tokenAuthFile: z.string().optional(),
  /** Whether Secrets of type bootstrap.kubernetes.io/token in kube-system are tokens. */
  enableBootstrapTokenAuth: boolFlag().default(false),
  /** Whether somebody without credentials is system:anonymous; he is unless this or the configuration says otherwise. */
  anonymousAuth: boolFlag().optional(),
  /** An AuthenticationConfiguration; read again when it changes. */
  authenticationConfig: z.string().optional(),
  /** A kubeconfig that says where other tokens are known. */
  authenticationTokenWebhookConfigFile: z.string().optional(),
  authenticationTokenWebhookVersion: z.enum(['v1', 'v1beta1']).default('v1beta1'),
  authenticationTokenWebhookCacheTtl: durationFlag().default(120_000),
  /** The authority of front proxies, which say in headers who asks, and what these may be called. */
  requestheaderClientCaFile: z.string().optional(),
  requestheaderAllowedNames: z.array(z.string()).default([]),
  requestheaderUsernameHeaders: z.array(z.string()).default(['X-Remote-User']),
  requestheaderUidHeaders: z.array(z.string()).default([]),
  requestheaderGroupHeaders: z.array(z.string()).default(['X-Remote-Group']),
  requestheaderExtraHeadersPrefix: z.array(z.string()).default(['X-Remote-Extra-']),
  /** By what the servers of aggregated APIs know this one as a front proxy. */
  proxyClientCertFile: z.string().optional(),
  proxyClientKeyFile: z.string().optional(),
  /**
   * Who is asked whether somebody may do something, in turn, separated by commas; Node and RBAC unless the configuration says otherwise.
   */
  authorizationMode: z
    .string()
    .transform(text => text.split(','))
    .pipe(z.array(z.enum(authorizerTypes)).min(1))
    .optional(),
  /** An AuthorizationConfiguration, in place of the other flags of authorization; read again when it changes. */
  authorizationConfig: z.string().optional(),
  /** A kubeconfig that says where the mode Webhook asks. */
  authorizationWebhookConfigFile: z.string().optional(),
  authorizationWebhookVersion: z.enum(['v1', 'v1beta1']).default('v1beta1'),
  authorizationWebhookCacheAuthorizedTtl: durationFlag().default(300_000),
  authorizationWebhookCacheUnauthorizedTtl: durationFlag().default(30_000),
  serviceClusterIpRange: z.string().default('10.96.0.0/16'),
  /** The port of the Service `kubernetes`, when it is made. */
  kubernetesServicePort: intFlag().default(443),
  serviceNodePortRange: z
    .string()
    .regex(/^\d+-\d+$/, 'must be a range of ports, 30000-32767')
    .default('30000-32767'),
  eventTtl: durationFlag().default(3_600_000),
  /** An AdmissionConfiguration: what admission plugins shall do. */
  admissionControlConfigFile: z.string().optional(),
  /** Names of admission plugins that shall be on beside those that are, and off; separated by commas. */
  enableAdmissionPlugins: namesFlag(),
  disableAdmissionPlugins: namesFlag(),
  featureGates: featureGatesFlag(),
  defaultNotReadyTolerationSeconds: intFlag().default(300),
  defaultUnreachableTolerationSeconds: intFlag().default(300),
  watchHistory: intFlag().optional(),
  /** An EncryptionConfiguration: which objects are stored encrypted, and how. */
  encryptionProviderConfig: z.string().optional(),
  /** Whether it is read again when it changes. */
  encryptionProviderConfigAutomaticReload: boolFlag().default(false),
  /** An audit.k8s.io/v1 Policy; requests are recorded when there is a log too, a file or `-` for standard output, or a webhook. */
  auditPolicyFile: z.string().optional(),
  auditLogPath: z.string().optional(),
  /** Megabytes of the file before it is rotated (0: 100); rotated files and days that are kept, 0 for all. */
  auditLogMaxsize: intFlag().default(0),
  auditLogMaxbackup: intFlag().default(0),
  auditLogMaxage: intFlag().default(0),
  auditLogCompress: boolFlag().default(false),
  /** A kubeconfig that says where events are posted to, in batches. */
  auditWebhookConfigFile: z.string().optional(),
  auditWebhookBatchBufferSize: intFlag().default(10_000),
  auditWebhookBatchMaxSize: intFlag().default(400),
  auditWebhookBatchMaxWait: durationFlag().default(30_000),
  auditWebhookBatchThrottleEnable: boolFlag().default(true),
  auditWebhookBatchThrottleQps: intFlag().default(10),
  auditWebhookBatchThrottleBurst: intFlag().default(15),
  auditWebhookInitialBackoff: durationFlag().default(10_000),
  /** Without it the built-in levels and schemas are in force, whatever is stored, and none are made. */
  enablePriorityAndFairness: boolFlag().default(true),
  maxRequestsInflight: intFlag().default(400),
  maxMutatingRequestsInflight: intFlag().default(200),
})

/** What an API server is started with; `startApiServer` takes the same, with defaults filled in by `serverOptions`. */
export type ApiServerOptions = z.output<typeof flags>

type Required = Pick<ApiServerOptions, 'natsUrl' | 'registryCreds' | 'busCreds' | 'tlsCertFile' | 'tlsPrivateKeyFile' | 'clientCaFile'>

/** Options of a server in a test or another program: what is left out gets the flag's default. */
export const serverOptions = (given: Required & Partial<ApiServerOptions>): ApiServerOptions => ({
  bindAddress: ['127.0.0.1'],
  securePort: 0,
  permitPortSharing: false,
  serviceAccountKeyFile: [],
  serviceAccountIssuer: ['https://kubernetes.default.svc.cluster.local'],
  apiAudiences: [],
  serviceAccountMaxTokenExpiration: 0,
  serviceAccountExtendTokenExpiration: true,
  enableBootstrapTokenAuth: false,
  authenticationTokenWebhookVersion: 'v1',
  authenticationTokenWebhookCacheTtl: 120_000,
  requestheaderAllowedNames: [],
  requestheaderUsernameHeaders: ['X-Remote-User'],
  requestheaderUidHeaders: [],
  requestheaderGroupHeaders: ['X-Remote-Group'],
  requestheaderExtraHeadersPrefix: ['X-Remote-Extra-'],
  authorizationWebhookVersion: 'v1',
  authorizationWebhookCacheAuthorizedTtl: 300_000,
  authorizationWebhookCacheUnauthorizedTtl: 30_000,
  serviceClusterIpRange: '10.96.0.0/16',
  kubernetesServicePort: 443,
  serviceNodePortRange: '30000-32767',
  eventTtl: 3_600_000,
  enableAdmissionPlugins: [],
  disableAdmissionPlugins: [],
  featureGates: {},
  defaultNotReadyTolerationSeconds: 300,
  defaultUnreachableTolerationSeconds: 300,
  encryptionProviderConfigAutomaticReload: false,
  auditLogMaxsize: 0,
  auditLogMaxbackup: 0,
  auditLogMaxage: 0,
  auditLogCompress: false,
  auditWebhookBatchBufferSize: 10_000,
  auditWebhookBatchMaxSize: 400,
  auditWebhookBatchMaxWait: 30_000,
  auditWebhookBatchThrottleEnable: true,
  auditWebhookBatchThrottleQps: 10,
  auditWebhookBatchThrottleBurst: 15,
  auditWebhookInitialBackoff: 10_000,
  enablePriorityAndFairness: true,
  maxRequestsInflight: 400,
  maxMutatingRequestsInflight: 200,
  ...given,
})
