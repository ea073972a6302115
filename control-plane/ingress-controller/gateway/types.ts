/**
 * The Gateway API as far as it is served: gateway.networking.k8s.io/v1 (https://gateway-api.sigs.k8s.io/reference/spec). Fields as
 * upstream's.
 */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'

export const group = 'gateway.networking.k8s.io'
const kind = <T>(name: string, plural: string, version = 'v1', namespaced = true): Kind<T> =>
  ({ group, version, kind: name, plural, namespaced }) as Kind<T>

export interface Condition {
  type: string
  status: 'True' | 'False' | 'Unknown'
  reason: string
  message: string
  observedGeneration?: number
  lastTransitionTime?: string
}
export interface GatewayClass extends KubeObject {
  spec: { controllerName: string; parametersRef?: object }
  status?: { conditions?: Condition[]; supportedFeatures?: readonly { name: string }[] }
}
export interface Listener {
  name: string
  hostname?: string
  port: number
  protocol: string
  tls?: {
    mode?: string
    certificateRefs?: { group?: string; kind?: string; name: string; namespace?: string }[]
    /** Of its experimental versions. */
    frontendValidation?: object
  }
  allowedRoutes?: {
    namespaces?: { from?: string; selector?: { matchLabels?: Record<string, string>; matchExpressions?: unknown[] } }
    kinds?: { group?: string; kind: string }[]
  }
}
export interface ListenerStatus {
  name: string
  supportedKinds: { group: string; kind: string }[]
  attachedRoutes: number
  conditions: Condition[]
}
/** What clients have to show. */
interface FrontendTLS {
  validation?: object
}
export interface Gateway extends KubeObject {
  spec: {
    gatewayClassName: string
    listeners: Listener[]
    addresses?: { type?: string; value?: string }[]
    infrastructure?: { parametersRef?: object; labels?: Record<string, string>; annotations?: Record<string, string> }
    tls?: { frontend?: { default?: FrontendTLS; perPort?: { port: number; tls?: FrontendTLS }[] } }
  }
  status?: { addresses?: { type: string; value: string }[]; conditions?: Condition[]; listeners?: ListenerStatus[] }
}
export interface ParentRef {
  group?: string
  kind?: string
  namespace?: string
  name: string
  sectionName?: string
  port?: number
}
export interface BackendRef {
  group?: string
  kind?: string
  name: string
  namespace?: string
  port?: number
  weight?: number
  filters?: Filter[]
}
interface HeaderChanges {
  set?: { name: string; value: string }[]
  add?: { name: string; value: string }[]
  remove?: string[]
}
export interface PathChange {
  type: string
  replaceFullPath?: string
  replacePrefixMatch?: string
}
export interface Filter {
  type: string
  requestHeaderModifier?: HeaderChanges
  responseHeaderModifier?: HeaderChanges
  requestRedirect?: { scheme?: string; hostname?: string; path?: PathChange; port?: number; statusCode?: number }
  cors?: {
    allowOrigins?: string[]
    allowMethods?: string[]
    allowHeaders?: string[]
    exposeHeaders?: string[]
    allowCredentials?: boolean
    maxAge?: number
  }
  urlRewrite?: { hostname?: string; path?: PathChange }
  requestMirror?: { backendRef: BackendRef; percent?: number; fraction?: { numerator: number; denominator?: number } }
}
export interface ValueMatch {
  type?: string
  name: string
  value: string
}
export interface HTTPRouteMatch {
  path?: { type?: string; value?: string }
  headers?: ValueMatch[]
  queryParams?: ValueMatch[]
  method?: string
}
export interface GRPCRouteMatch {
  method?: { type?: string; service?: string; method?: string }
  headers?: ValueMatch[]
}
export interface RouteRule<M> {
  matches?: M[]
  filters?: Filter[]
  backendRefs?: BackendRef[]
  timeouts?: { request?: string; backendRequest?: string }
  /** Of its experimental versions. */
  retry?: { codes?: number[]; attempts?: number; backoff?: string }
}
export interface RouteParentStatus {
  parentRef: ParentRef
  controllerName: string
  conditions: Condition[]
}
export interface Route<M> extends KubeObject {
  spec: { parentRefs?: ParentRef[]; hostnames?: string[]; rules?: RouteRule<M>[] }
  status?: { parents?: RouteParentStatus[] }
}
export type HTTPRoute = Route<HTTPRouteMatch>
export type GRPCRoute = Route<GRPCRouteMatch>
export interface ReferenceGrant extends KubeObject {
  spec: { from: { group: string; kind: string; namespace: string }[]; to: { group: string; kind: string; name?: string }[] }
}

/** Of all its versions. */
export interface TLSRoute extends KubeObject {
  spec: { parentRefs?: ParentRef[]; hostnames?: string[]; rules?: { backendRefs?: BackendRef[] }[] }
  status?: { parents?: RouteParentStatus[] }
}

export const gatewayClasses = kind<GatewayClass>('GatewayClass', 'gatewayclasses', 'v1', false)
export const gateways = kind<Gateway>('Gateway', 'gateways')
export const httpRoutes = kind<HTTPRoute>('HTTPRoute', 'httproutes')
export const grpcRoutes = kind<GRPCRoute>('GRPCRoute', 'grpcroutes')
export const tlsRoutes = kind<TLSRoute>('TLSRoute', 'tlsroutes', 'v1alpha2')
export const referenceGrants = kind<ReferenceGrant>('ReferenceGrant', 'referencegrants', 'v1beta1')
/** Versions that are followed where the first is not served: their shapes are the same. */
export const otherVersions: Record<string, readonly string[]> = { tlsroutes: ['v1', 'v1alpha3', 'v1alpha2'] }
