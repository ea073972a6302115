/** What `cox up` can be asked for. */
import type { Cluster, Instances } from './state.ts'

/** What `cox up` was asked for; what is absent stays as it is, or is as good as the machine can. */
export interface Wanted {
  /** Nothing but nats-server and an API server; `withControllers`: and a controller manager. */
  apiOnly?: boolean | undefined
  withControllers?: boolean | undefined
  /** The state directory is removed in the end. */
  ephemeral?: boolean | undefined
  /** Of the API server; 0 for any that is free. */
  port?: number | undefined
  /** Where else the administrator's kubeconfig is written, as an absolute path. */
  kubeconfig?: string | undefined
  /** The cluster ends when standard input does. */
  exitWithParent?: boolean | undefined
  output?: 'table' | 'json' | undefined
  /** How many nodes there shall be at least. */
  nodes?: number | undefined
  /** How many processes a component shall have from now on. */
  instances?: Partial<Instances>
  /** How many nats-servers store a new cluster. */
  natsServers?: 1 | 3 | undefined
  /** `ADDRESS[:PORT]` of this machine, at which nodes of other machines join, or `none` for none any more. */
  listen?: string | undefined
  /** Whether machines of the same segment send each other pods' packets as they are. */
  directRoutes?: boolean | undefined
  /** Whether a new cluster has IPv6 addresses, too. */
  dualStack?: true | undefined
  network?: 'bridge' | 'host' | 'cni' | undefined
  runtime?: Cluster['runtime']
  proxy?: Cluster['proxy']
  imageCatalogue?: Cluster['imageCatalogue']
  imageStore?: Cluster['imageStore']
  /** Files, or `none` for none any more. */
  registries?: string | undefined
  imageCredentialProviderConfig?: string | undefined
  imageCredentialProviderBinDir?: string | undefined
  kubeletConfig?: string | undefined
  cniConf?: string | undefined
  auditPolicy?: string | undefined
  auditWebhookConfig?: string | undefined
  authenticationConfig?: string | undefined
  authorizationConfig?: string | undefined
  schedulerConfig?: string | undefined
  /** Names with commas between them, or `none` for no more. */
  enableAdmissionPlugins?: string | undefined
  disableAdmissionPlugins?: string | undefined
  featureGates?: string | undefined
  controllers?: string | undefined
  metricsServer?: Cluster['metricsServer']
  cloudProvider?: Cluster['cloudProvider']
  /** Over how many zones the nodes are spread. */
  zones?: number | undefined
  /** Makes a key that Secrets are stored with from now on, when there is none. */
  encryptSecrets?: boolean | undefined
}

const settings = [
  'registries',
  'imageCredentialProviderConfig',
  'imageCredentialProviderBinDir',
  'kubeletConfig',
  'cniConf',
  'auditPolicy',
  'auditWebhookConfig',
  'authenticationConfig',
  'authorizationConfig',
  'schedulerConfig',
  'enableAdmissionPlugins',
  'disableAdmissionPlugins',
  'featureGates',
  'controllers',
] as const

export type Kept = (typeof settings)[number]

/** What was asked of components and is kept for later starts: `none` ends it. */
export const kept = (wanted: Wanted, had: Cluster | undefined): Pick<Cluster, Kept> =>
  Object.fromEntries(settings.map(name => [name, wanted[name] === 'none' ? undefined : (wanted[name] ?? had?.[name])]))
