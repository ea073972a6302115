/** Ingresses as rules (networking/v1, and ingress-nginx' annotations). */
import type { Service } from '#shared/api/core/service.ts'
import type { Secret } from '#shared/api/core/secret.ts'
import type { Ingress } from '#shared/api/networking/ingress.ts'
import { pattern, readAnnotations, type Annotations, type Canary } from './annotations.ts'
import { certificateOf } from './certificates.ts'
import { word, type Certificate, type PathMatch, type Problem, type Routing, type Rule, type Target } from './model.ts'

export interface Known {
  service(namespace: string, name: string): Service | undefined
  secret(namespace: string, name: string): Secret | undefined
}
type Backend = NonNullable<NonNullable<Ingress['spec']>['defaultBackend']>

const aboutOf = ({ metadata }: Ingress): string => `Ingress/${metadata.namespace}/${metadata.name}`
/** Canaries come before what they are canaries of. */
const canaryPrecedence = 1

/** A path may be of visible characters only: it becomes a word of the proxy's maps. */
function pathMatch(path: string, type: string, regex: boolean): PathMatch {
  if (!/^\/[!-~]*$/.test(path)) throw new Error(`path "${path}" has characters that a URL's path cannot have`)
  if (regex && type !== 'Exact') return { type: 'Regex', value: pattern(path) }
  return { type: type === 'Exact' ? 'Exact' : 'Prefix', value: path }
}

/** Lines that make what is asked for into what the backend is asked for. */
function rewriteLines({ rewrite }: Annotations, path: PathMatch): string[] {
  if (rewrite === undefined) return []
  if (path.type !== 'Regex') return [`http-request set-path ${word(rewrite.replaceAll('%', '%%'))}`]
  const to = rewrite.replace(/[\\%]/g, c => c + c).replace(/\$(\d)/g, '\\$1')
  return [`http-request replace-path ${word(`(?i)^${path.value}.*$`)} ${word(to)}`]
}

function conditionsOf({ header, headerValue, headerPattern, cookie, weight, total }: Canary): string[][] {
  const ways: string[][] = []
  const never: string[] = []
  if (header) {
    const value = `req.hdr(${header})`
    if (headerValue) ways.push([`{ ${value} -m str ${word(headerValue)} }`])
    else if (headerPattern) ways.push([`{ ${value} -m reg ${word(headerPattern)} }`])
    else {
      ways.push([`{ ${value} -m str always }`])
      never.push(`!{ ${value} -m str never }`)
    }
  }
  if (cookie) {
    ways.push([`{ req.cook(${cookie}) -m str always }`, ...never])
    never.push(`!{ req.cook(${cookie}) -m str never }`)
  }
  if (weight > 0) ways.push([...never, `{ rand(${total}) lt ${weight} }`])
  return ways
}

/** An ExternalName's server: by name or number of one of its ports, or a number that it has not named. Throws for a name that is none. */
function externalOf({ spec }: Service, port: string | number): string {
  const number = spec.ports?.find(p => p.name === port || p.port === port)?.port ?? port
  const name = (spec.externalName ?? '').replace(/\.$/, '')
  if (!/^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$/.test(name)) throw new Error(`"${name}" is no name of a host`)
  if (typeof number !== 'number') throw new Error(`its ExternalName Service has no port ${port}`)
  return `${name}:${number}`
}

/** The rules of one Ingress. Throws in words for the user when it cannot be served as it is. */
function rulesOf(ingress: Ingress, known: Known, problems: Problem[], certificates: Certificate[]): Rule[] {
  const { namespace = '', annotations } = ingress.metadata
  const about = aboutOf(ingress)
  const settings = readAnnotations(annotations)
  for (const name of settings.idle) problems.push({ about, message: `annotation ${name} has no effect` })
  const { rules = [], tls = [], defaultBackend } = ingress.spec ?? {}
  for (const { hosts = [], secretName } of tls) {
    if (!secretName) continue
    try {
      certificates.push({ hosts, ...certificateOf(known, namespace, secretName) })
    } catch (e) {
      problems.push({ about, message: (e as Error).message })
    }
  }
  const isSecure = (host: string): boolean => tls.some(t => (t.hosts ?? []).length === 0 || t.hosts!.includes(host))
  function targetOf(backend: Backend | undefined, host: string, path: PathMatch): Target[] {
    const service = backend?.service
    if (!service) {
      problems.push({ about, message: 'a backend that is no Service is not served' })
      return []
    }
    const port = service.port?.name ?? service.port?.number ?? 0
    const found = known.service(namespace, service.name)
    const redirect = settings.forceSslRedirect || (settings.sslRedirect && isSecure(host))
    const common = {
      lines: [
        ...(redirect ? ['http-request redirect scheme https code 308 unless { ssl_fc }'] : []),
        ...settings.lines,
        ...rewriteLines(settings, path),
      ],
      serverOptions: settings.serverOptions,
      weight: 1,
    }
    if (!found) problems.push({ about, message: `Service "${namespace}/${service.name}" does not exist` })
    else if (found.spec.type === 'ExternalName') return [{ ...common, external: externalOf(found, port) }]
    else if (!found.spec.ports?.some(p => p.port === port || p.name === port))
      problems.push({ about, message: `Service "${namespace}/${service.name}" has no port ${port}` })
    return [{ ...common, service: { key: `${namespace}/${service.name}`, port } }]
  }
  const made: Rule[] = []
  const add = (host: string, path: PathMatch, backend: Backend | undefined): void => {
    const targets = targetOf(backend, host, path)
    if (!settings.canary) return void made.push({ host, path, conditions: [], precedence: 0, targets })
    for (const conditions of conditionsOf(settings.canary)) made.push({ host, path, conditions, precedence: canaryPrecedence, targets })
  }
  for (const { host = '', http } of rules) {
    if (!http) {
      if (defaultBackend) add(host, { type: 'Prefix', value: '/' }, defaultBackend)
      continue
    }
    for (const { path = '/', pathType, backend } of http.paths ?? []) add(host, pathMatch(path, pathType ?? '', settings.regex), backend)
  }
  if (defaultBackend) add('', { type: 'Prefix', value: '/' }, defaultBackend)
  return made
}

/** The oldest comes first, and so wins where several want the same; by name where they are of one second. */
const byAge = (a: Ingress, b: Ingress): number => {
  const key = ({ metadata }: Ingress): string => `${metadata.creationTimestamp} ${metadata.namespace}/${metadata.name}`
  return key(a) < key(b) ? -1 : 1
}

/** The rules of Ingresses, all of this controller's class. One that is wrong is a problem of its own. */
export function ingressRouting(ingresses: readonly Ingress[], known: Known): Routing {
  const rules: Rule[] = []
  const certificates: Certificate[] = []
  const problems: Problem[] = []
  for (const ingress of [...ingresses].sort(byAge)) {
    try {
      rules.push(...rulesOf(ingress, known, problems, certificates))
    } catch (e) {
      problems.push({ about: aboutOf(ingress), message: (e as Error).message })
    }
  }
  return { rules, certificates, problems }
}
