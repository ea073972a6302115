/** The options of `cox up`. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { Option, type Command } from 'commander'
import { command, ipv4, joinServers, listenAddress, oneOrThree, wholeNumber, type Common } from './arguments.ts'
import type { Instances } from './state.ts'
import type { Wanted } from './wanted.ts'

const fileOrNone = (file: string): string => (file === 'none' ? file : path.resolve(file))

/** What only clusters with nodes have. */
const ofNodes = [
  'nodes',
  'schedulerConfig',
  'network',
  'cniConf',
  'dualStack',
  'runtime',
  'proxy',
  'imageCatalogue',
  'imageStore',
  'registries',
  'imageCredentialProviderConfig',
  'imageCredentialProviderBinDir',
  'kubeletConfig',
  'natsServers',
  'listen',
  'join',
  'directRoutes',
  'apiservers',
  'controllerManagers',
  'schedulers',
  'cloudControllerManagers',
  'cloudProvider',
  'zones',
]
interface Joins {
  join?: string
  token?: string
  caCertHash?: string
  natsUser?: string
  certificateKey?: string
  nodeIp?: string
}
type Counts = Record<'apiservers' | 'controllerManagers' | 'schedulers' | 'cloudControllerManagers', number | undefined>
/** `cox up`. It imports what it does when it runs: a cluster for a test is to be there in less than half a second. */
export const upCommand = (program: Command): Command =>
  command(program, 'up', 'start the cluster, in the foreground until Ctrl-C')
    .option(
      '--nodes <n>',
      'how many nodes a new cluster gets (default: 3, without root 1); an existing one gets more if it has fewer',
      wholeNumber(1, 127),
    )
    .addOption(
      new Option('--network <name>', 'how pods are connected (default: bridge for root, else host)').choices(['bridge', 'host', 'cni']),
    )
    .option('--cni-conf <path>', 'with --network cni: a CNI configuration, or a directory of some (README: CNI); none ends it', fileOrNone)
    .option('--dual-stack', 'a new cluster has IPv6 addresses beside those of IPv4 (README: IPv4 and IPv6)')
    .addOption(new Option('--runtime <name>', 'how containers run (default: the best that the nodes can do)').choices(['oci', 'process']))
    .addOption(new Option('--proxy <name>', 'how Services are routed (default: as above)').choices(['nftables', 'userspace']))
    .option('--image-catalogue <file>', 'images of your own, in YAML (README: Images)', (file: string) => path.resolve(file))
    .option('--kubelet-config <file>', 'a KubeletConfiguration for the nodes (README: Resources of a node); none ends it', fileOrNone)
    .option(
      '--image-store <dir>',
      'where images are kept; clusters may share it (default: as before, images in the state directory)',
      (directory: string) => path.resolve(directory),
    )
    .option('--registries <file>', 'mirrors, certificates and passwords of registries (README: From registries); none ends it', fileOrNone)
    .option(
      '--image-credential-provider-config <file>',
      "as the kubelet's: programs that know passwords of registries; none ends it",
      fileOrNone,
    )
    .option('--image-credential-provider-bin-dir <dir>', 'the directory that they are in', fileOrNone)
    .option('--audit-policy <file>', 'what the API servers record in logs/audit (README: Audit); none ends it', fileOrNone)
    .option('--audit-webhook-config <file>', 'where else they send that, a kubeconfig; none ends it', fileOrNone)
    .option('--authentication-config <file>', 'OIDC providers (README: Who may do what); none ends it', fileOrNone)
    .option('--authorization-config <file>', 'who decides, webhooks too (as above); none ends it', fileOrNone)
    .option('--scheduler-config <file>', 'profiles and extenders of the scheduler (README: Scheduling); none ends it', fileOrNone)
    .option('--controllers <names>', "which controllers run, as kube-controller-manager's option: *,-cronjob-controller; none ends it")
    .option('--enable-admission-plugins <names>', 'admission plugins that shall be on, too, with commas between them; none for no more')
    .option('--disable-admission-plugins <names>', 'admission plugins that shall be off; as above')
    .option('--feature-gates <gates>', 'features that v1.35 has off, HPAScaleToZero=true; none ends it')
    .addOption(
      new Option('--metrics-server <on|off>', 'whether there is one, for kubectl top (default: as before, on for a new cluster)').choices([
        'on',
        'off',
      ]),
    )
    .addOption(
      new Option('--cloud-provider <name>', 'what gives load balancers and zones (default: as before, local for a new cluster)').choices([
        'local',
        'none',
      ]),
    )
    .option('--zones <n>', 'over how many zones the nodes are spread (default: as before, 1 for a new cluster)', wholeNumber(1, 26))
    .option('--encrypt-secrets', 'store Secrets encrypted from now on, with a key that is made for it (README: Secrets at rest)')
    .addOption(
      new Option(
        '--nats-servers <n>',
        'how many nats-servers store a new cluster: 3 go on when one dies (README: Three nats-servers)',
      ).argParser(oneOrThree),
    )
    .option(
      '--listen <address[:port]>',
      'an address of this machine at which nodes of other machines join (README: Nodes on other machines); none ends it',
      listenAddress,
    )
    .option('--direct-routes', 'with --listen: machines of one segment send each other packets of pods as they are, not in a VXLAN')
    .option(
      '--apiservers <n>',
      'how many kube-apiserver processes share the URL (default: as before, 1 for a new cluster)',
      wholeNumber(1, 9),
    )
    .option(
      '--controller-managers <n>',
      'how many kube-controller-manager processes, one of which leads (default: as above)',
      wholeNumber(1, 9),
    )
    .option('--schedulers <n>', 'how many kube-scheduler processes, one of which leads (default: as above)', wholeNumber(1, 9))
    .option('--cloud-controller-managers <n>', 'how many cloud-controller-manager processes, as above', wholeNumber(1, 9))
    .option('--join <servers>', 'add this machine to the control plane of the cluster that has these nats-servers, with what', joinServers)
    .option('--token <token>', '... `cox token create --control-plane` printed there')
    .option('--ca-cert-hash <hash>', '... (README: A control plane on several machines)')
    .option('--nats-user <user>', '...')
    .option('--certificate-key <key>', '...')
    .option('--node-ip <address>', "with --join: this machine's address for others (default: the one towards the nats-servers)", ipv4)
    .addOption(
      new Option('--api-only', 'no nodes: nothing but nats-server and an API server (README: Tests of controllers)').conflicts(ofNodes),
    )
    .option('--with-controllers', 'with --api-only: and the controller manager')
    .option('--ephemeral', 'keep nothing: a new state directory that is removed in the end')
    .option('--port <n>', 'of the API server; 0 for any that is free (default: as before, 6443 if free)', wholeNumber(0, 65_535))
    .option('--kubeconfig <file>', "where the administrator's kubeconfig is written, too", (file: string) => path.resolve(file))
    .option('--exit-with-parent', 'end when standard input, a pipe from the parent, is closed')
    .addOption(
      new Option('-o, --output <format>', 'json: when the cluster is up, one line with its server, kubeconfig and stateDir').choices([
        'table',
        'json',
      ]),
    )
    .option('--detach', 'return when the cluster is up and leave it running')
    .action(
      async (
        {
          stateDir: named,
          apiservers,
          controllerManagers,
          schedulers,
          cloudControllerManagers,
          detach,
          join: server,
          token,
          caCertHash,
          natsUser,
          certificateKey,
          nodeIp: address,
          ...wanted
        }: Common & Wanted & Counts & Joins & { detach?: boolean },
        self: Command,
      ) => {
        const asked = {
          'kube-apiserver': apiservers,
          'kube-controller-manager': controllerManagers,
          'kube-scheduler': schedulers,
          'cloud-controller-manager': cloudControllerManagers,
        }
        const instances = Object.fromEntries(Object.entries(asked).filter(([, n]) => n !== undefined)) as Partial<Instances>
        if (wanted.withControllers && !wanted.apiOnly) throw new Error('--with-controllers is for --api-only: other clusters have them')
        const { imageCredentialProviderConfig: providers, imageCredentialProviderBinDir: programs } = wanted
        if (providers && providers !== 'none' && !programs)
          throw new Error('--image-credential-provider-config needs --image-credential-provider-bin-dir')
        for (const path of [providers, programs]) if (path && path !== 'none' && !existsSync(path)) throw new Error(`there is no ${path}`)
        if (wanted.kubeletConfig && wanted.kubeletConfig !== 'none')
          await (await import('./kubeletconfig.ts')).readKubeletConfig(wanted.kubeletConfig)
        if (wanted.featureGates && wanted.featureGates !== 'none')
          (await import('../apiserver/featuregates.ts')).parseFeatureGates(wanted.featureGates)
        const [{ up, upDetached }, { stateDir }] = await Promise.all([import('./up.ts'), import('./state.ts')])
        const dir = stateDir(named)
        if (server !== undefined) {
          if (!token || !caCertHash || !natsUser || !certificateKey)
            throw new Error('--join: use the whole command that `cox token create --control-plane` printed')
          const { joinControlPlane } = await import('./controlplanejoin.ts')
          const { port } = wanted
          await joinControlPlane(dir, { server, token, caCertHashes: [caCertHash], natsUser, certificateKey, address, port })
        }
        return (detach ? upDetached : up)(self.getOptionValueSource('stateDir') === 'cli' ? dir : undefined, dir, { ...wanted, instances })
      },
    )
