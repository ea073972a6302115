/** An API server: the registry, one handler chain, HTTPS on every address and the NATS service. */
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { customResourceDefinition } from '#shared/api/apiextensions/customresourcedefinition.ts'
import { componentStatus } from '#shared/api/core/componentstatus.ts'
import { rbacGroup } from '#shared/api/rbac/policyrule.ts'
import { resources } from '#shared/api/resources.ts'
import type { Resource } from '#shared/api/resource.ts'
import { connectBus } from '#shared/bus/connection.ts'
import { logger, type Logger } from '#shared/component/log.ts'
import { adminAccessHooks } from './adminaccess.ts'
import { startAggregator } from './aggregator/aggregator.ts'
import { newAdmission, type AdmissionPlugin } from './admission/admission.ts'
import { readAdmissionConfiguration } from './admission/configuration.ts'
import { admissionPlugins } from './admission/plugins.ts'
import { withExpressions } from './admission/policy/validation.ts'
import { webhookMetrics } from './admission/webhook/metrics.ts'
import { newAuditor } from './audit/auditor.ts'
import { withRules } from './cel/expressions.ts'
import { newAuthentication } from './authn/authentication.ts'
import { trackUse } from './authn/lastused.ts'
import { frontProxyOf } from './authn/requestheader.ts'
import { newAuthorization } from './authz/modes.ts'
import { escalationCheck } from './authz/rbac/escalation.ts'
import { followPolicy } from './authz/rbac/policy.ts'
import { bootstrap, bootstrapAccess } from './bootstrap/bootstrap.ts'
import { serveApi } from './bus/serve.ts'
import { certificateHooks } from './certificates.ts'
import { establishDefinitions } from './crd/establish.ts'
import { conversionMetrics } from './crd/conversionmetrics.ts'
import { followDefinitions } from './crd/follow.ts'
import { webhookConverter } from './crd/webhookconversion.ts'
import { openEncryption } from './encryption/open.ts'
import { Arrivals } from './chain/arrivals.ts'
import { newHandler } from './chain/chain.ts'
import { followConfiguration } from './flowcontrol/configuration.ts'
import { keepFlowControl } from './flowcontrol/ensure.ts'
import { FlowControl } from './flowcontrol/flowcontrol.ts'
import { requestMetrics } from './chain/metrics.ts'
import { gatedKinds } from './gatedkinds.ts'
import { serveHttps, type HttpListener } from './http/server.ts'
import { issuerDocuments, keysPath, unfitIssuer } from './nonresource/openid.ts'
import { nonResourcePaths } from './nonresource/paths.ts'
import type { ApiServerOptions } from './options.ts'
import { reloadMetrics } from './reload.ts'
import { openRegistry, type TableOptions } from './registry/jetstream.ts'
import { VersionRecord } from './registry/record.ts'
import { accessReviews } from './reviews/accessreviews.ts'
import { whoAmI } from './reviews/selfsubjectreview.ts'
import type { Store } from './objects/store.ts'
import { serviceHooks } from './serviceips/allocate.ts'
import { portRange, serviceRanges } from './serviceips/ranges.ts'
import { startRepair } from './serviceips/repair.ts'
import { Surface, type Served } from './surface.ts'
import { bindByBody, bindings } from './subresources/binding.ts'
import { components, showComponentStatuses } from './subresources/componentstatuses.ts'
import { scaleVerbs } from './subresources/scale.ts'
import { subresources } from './subresources/subresources.ts'
import { reviewToken, tokenReviews } from './subresources/tokenreview.ts'
import { newDispatch } from './verbs/dispatch.ts'
import { newWebhooks } from './webhook/clients.ts'

export interface ApiServer {
  /** `https://127.0.0.1:6443`, of the first address. */
  readonly url: string
  readonly port: number
  /** What it serves; kinds may be installed and removed while it runs. */
  readonly surface: Surface
  /** Ends everything; requests in flight get a moment to finish. */
  close(): Promise<void>
}

/** Groups whose objects say what becomes of requests: a write of one is acknowledged when every API server has it. */
const decides = new Set([rbacGroup, 'admissionregistration.k8s.io'])

const tableOf = (r: Resource, o: ApiServerOptions): TableOptions => ({
  group: r.group,
  plural: r.plural,
  ...(r.indexed ? { indexed: Object.fromEntries(r.indexed.flatMap(path => (r.fields?.[path] ? [[path, r.fields[path]]] : []))) } : {}),
  ...(r.ttlSeconds === undefined ? {} : { ttlSeconds: o.eventTtl / 1000 }),
  ...(r.maxObjects === undefined ? {} : { maxObjects: r.maxObjects }),
  ...(decides.has(r.group) || r === customResourceDefinition ? { everywhere: true } : {}),
})

/** By what other API servers know this one. */
async function proxyClientOf({ proxyClientCertFile, proxyClientKeyFile }: ApiServerOptions) {
  if (proxyClientCertFile === undefined || proxyClientKeyFile === undefined) return undefined
  const [cert, key] = await Promise.all([readFile(proxyClientCertFile, 'utf8'), readFile(proxyClientKeyFile, 'utf8')])
  return { cert, key }
}

/** Resolves when the server answers requests on all its addresses and on the bus. `plugins` are further ones of admission. */
export async function startApiServer(
  options: ApiServerOptions,
  log: Logger = logger('kube-apiserver'),
  plugins: readonly AdmissionPlugin[] = [],
): Promise<ApiServer> {
  const opened: (() => Promise<void>)[] = []
  const close = async (): Promise<void> => {
    for (const end of opened.splice(0).reverse()) await end().catch((e: unknown) => log.warn({ err: e }, 'closing failed'))
  }
  try {
    const [certificate, key, clientAuthority, registryBus, bus] = await Promise.all([
      readFile(options.tlsCertFile),
      readFile(options.tlsPrivateKeyFile),
      readFile(options.clientCaFile),
      connectBus({ url: options.natsUrl, caFile: options.natsCaFile, credsFile: options.registryCreds, log }),
      connectBus({ url: options.natsUrl, caFile: options.natsCaFile, credsFile: options.busCreds, log }),
    ])
    opened.push(
      () => registryBus.close(),
      () => bus.close(),
    )
    const reloads = reloadMetrics(`${hostname()}:${options.securePort}`)
    const encryption = await openEncryption(options, reloads, log)
    if (encryption) opened.push(async () => encryption.close())
    const kinds = gatedKinds(resources, options.featureGates)
    const registry = await openRegistry({
      connection: registryBus,
      storeDir: options.storeDir,
      ...(options.storeReplicas === undefined ? {} : { replicas: options.storeReplicas }),
      record: options.storeRecord === undefined ? undefined : new VersionRecord(options.storeRecord),
      log,
      tables: kinds.map(r => tableOf(r, options)),
      encryption,
      ...(options.watchHistory === undefined ? {} : { history: options.watchHistory }),
    })
    opened.push(() => registry.close())
    const listeners: HttpListener[] = []
    const flowControl = new FlowControl({
      ...options,
      count: (group, plural, namespace) => registry.count({ group, plural }, namespace),
    })
    let keeping: Awaited<ReturnType<typeof keepFlowControl>> | undefined
    if (options.enablePriorityAndFairness) {
      const stopFollowing = followConfiguration(registry, flowControl, log, () => keeping?.round())
      opened.push(async () => stopFollowing())
    }
    const metrics = requestMetrics(flowControl)
    opened.push(async () => metrics.close())
    reloads.register(metrics.registry)
    const auditor = await newAuditor(options, metrics.registry, log)
    if (auditor) opened.push(() => auditor.close())
    const surface = new Surface()
    const onUse = trackUse(
      () => store,
      () => surface.current.endpoints.get('/v1/secrets')!,
      log,
    )
    const authentication = await newAuthentication(options, registry, onUse, reloads, log)
    opened.push(async () => authentication.close())
    const { keys, tokens, audiences, authenticateToken } = authentication
    const tokenRules = {
      tokens,
      maxSeconds: options.serviceAccountMaxTokenExpiration / 1000,
      extend: options.serviceAccountExtendTokenExpiration,
    }
    const ranges = {
      families: serviceRanges(options.serviceClusterIpRange).map(r => r.family),
      ports: portRange(options.serviceNodePortRange),
    }
    const policy = followPolicy(registry)
    opened.push(async () => policy.stop())
    const authorization = await newAuthorization(options, registry, policy, { registry: metrics.registry, reloads }, log)
    opened.push(async () => authorization.close())
    const { authorizer } = authorization
    const configuration = await readAdmissionConfiguration(options.admissionControlConfigFile)
    opened.push(async () => configuration.imagePolicy?.backend.close())
    const webhooks = newWebhooks(registry, bus)
    opened.push(async () => webhooks.close())
    const serving = () => surface.current
    const webhookParts = { registry, serving, webhooks, authorizer, metrics: webhookMetrics(metrics.registry), log }
    const admission = newAdmission([
      escalationCheck(policy, authorizer),
      ...admissionPlugins(registry, authorizer, options, configuration, serving, metrics.registry, webhookParts, {
        registry,
        serving,
        authorizer,
        metrics: metrics.registry,
        onClose: stop => opened.push(async () => stop()),
      }),
      ...plugins,
    ])
    const store: Store = { registry, admission, log }
    const hooks = new Map([
      ['/services', serviceHooks(registry, ranges, log)],
      ['certificates.k8s.io/certificatesigningrequests', certificateHooks],
      ...adminAccessHooks(registry),
    ])
    const below = subresources(bus, tokenRules, () => surface.current.endpoints.get('policy/v1/poddisruptionbudgets')!)
    const pods = () => surface.current.endpoints.get('/v1/pods')!
    const probes = components(registry, options.advertiseAddress ?? '127.0.0.1')
    surface.install(
      ...kinds.map((resource): Served => {
        const key = `${resource.group}/${resource.plural}`
        return { resource: withRules(withExpressions(resource)), hooks: hooks.get(key), subresources: below.get(key) }
      }),
      { resource: componentStatus, answer: ctx => showComponentStatuses(ctx, probes) },
      { resource: bindings, answer: ctx => bindByBody(ctx, store, pods()) },
      { resource: tokenReviews, answer: ctx => reviewToken(ctx, authenticateToken, audiences, store.admission) },
      whoAmI(admission),
      ...accessReviews(authorizer, admission),
    )
    const conversions = conversionMetrics(metrics.registry)
    const definitions = followDefinitions(registry, surface, webhook => webhookConverter(webhook, webhooks, conversions), log)
    opened.push(async () => definitions.stop())
    const aggregator = startAggregator({
      store,
      endpoint: surface.current.endpoints.get('apiregistration.k8s.io/v1/apiservices')!,
      surface,
      remote: { bus, proxyClient: await proxyClientOf(options) },
      metrics: metrics.registry,
      log,
    })
    opened.push(async () => aggregator.stop())
    let bootstrapped = false
    const serverAddress = () => `${options.advertiseAddress ?? options.bindAddress[0]}:${listeners[0]?.port ?? options.securePort}`
    const [issuer] = options.serviceAccountIssuer as [string]
    const unfit = keys.length === 0 ? 'there are no keys' : unfitIssuer(issuer)
    if (unfit !== undefined) log.info({ why: unfit }, 'the documents of the service-account issuer are not served')
    const keysUri = () => options.serviceAccountJwksUri ?? `https://${serverAddress()}${keysPath}`
    const nonResource = nonResourcePaths({
      registry,
      metrics,
      surface,
      serverAddress,
      issuer: unfit === undefined ? issuerDocuments({ issuer, keys, keysUri }) : undefined,
      checks: [
        { name: 'poststarthook/rbac/bootstrap-roles', check: () => undefined },
        { name: 'poststarthook/bootstrap-controller', check: () => (bootstrapped ? undefined : 'not finished') },
        { name: 'autoregister-completion', check: () => (bootstrapped ? undefined : 'not finished') },
        ...(encryption?.checks ?? []),
      ],
    })
    const handler = newHandler({
      log,
      authenticate: authentication.authenticate,
      authorizer,
      auditor,
      flowControl,
      metrics,
      dispatch: newDispatch({ surface, store, scale: scaleVerbs, nonResource }),
      isProxied: info => surface.current.isProxied(info.group, info.version),
    })
    const arrivals = new Arrivals(flowControl.runs)
    const frontProxy = await frontProxyOf(options)
    await bootstrapAccess({ store, endpoints: surface.current.endpoints, log })
    const stopEstablishing = establishDefinitions({ store, surface, definitions, log })
    opened.push(async () => stopEstablishing())
    for (const address of options.bindAddress) {
      const port = listeners[0]?.port ?? options.securePort
      const listener = await serveHttps(handler, {
        address,
        port,
        certificate,
        key,
        clientAuthority,
        frontProxy,
        permitPortSharing: options.permitPortSharing,
        arrivals,
        log,
      })
      listeners.push(listener)
      opened.push(() => listener.close())
    }
    const service = serveApi(bus, handler, { log, arrivals })
    opened.push(() => service.close())
    const { port } = listeners[0]!
    const { endpoints } = surface.current
    const [stop, , flows] = await Promise.all([
      bootstrap({ store, endpoints, options, port, log }),
      aggregator.register(),
      options.enablePriorityAndFairness ? keepFlowControl(store, endpoints) : undefined,
    ])
    keeping = flows
    opened.push(stop)
    if (flows) opened.push(flows.stop)
    bootstrapped = true
    const stopRepair = startRepair(registry, log)
    opened.push(async () => stopRepair())
    const host = options.bindAddress[0]!
    return { url: `https://${host.includes(':') ? `[${host}]` : host}:${port}`, port, surface, close }
  } catch (e) {
    await close()
    throw e
  }
}
