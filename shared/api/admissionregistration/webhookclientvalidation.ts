/** Rules of where a webhook is reached (k8s.io/apiserver/pkg/util/webhook); conversion webhooks of CRDs are reached likewise. */
import { invalid, required, type FieldError, type Path } from '../../machinery/field.ts'
import { isDNS1123Subdomain, isPortNumber } from '../../machinery/names.ts'
import type { WebhookClientConfig } from './webhooks.ts'

const form = '; desired format: https://host[/path]'

export function validateClientConfig({ url, service }: WebhookClientConfig, at: Path): FieldError[] {
  if ((url === undefined) === (service === undefined)) return [required(at, 'exactly one of url or service is required')]
  return url === undefined ? validateService(service!, at.child('service')) : validateURL(url, at.child('url'))
}

/** The parts of a URL as Go's url.Parse tells them apart. */
function validateURL(text: string, at: Path): FieldError[] {
  const m = /^(?:([a-zA-Z][a-zA-Z0-9+.-]*):)?(?:\/\/([^/?#]*))?[^?#]*(?:\?([^#]*))?(?:#(.*))?$/s.exec(text)
  if (!m || /[\x00-\x1f\x7f]/.test(text))
    return [required(at, `url must be a valid URL: parse ${JSON.stringify(text)}: net/url: invalid control character in URL${form}`)]
  const [, scheme = '', authority = '', query = '', fragment = ''] = m
  const login = authority.lastIndexOf('@')
  const errors: FieldError[] = []
  if (scheme.toLowerCase() !== 'https') errors.push(invalid(at, scheme.toLowerCase(), `'https' is the only allowed URL scheme${form}`))
  if (authority.slice(login + 1) === '') errors.push(invalid(at, '', `host must be provided${form}`))
  if (login >= 0) errors.push(invalid(at, authority.slice(0, login), 'user information is not permitted in the URL'))
  if (fragment !== '') errors.push(invalid(at, fragment, 'fragments are not permitted in the URL'))
  if (query !== '') errors.push(invalid(at, query, 'query parameters are not permitted in the URL'))
  return errors
}

function validateService(service: NonNullable<WebhookClientConfig['service']>, at: Path): FieldError[] {
  const errors: FieldError[] = []
  // Upstream takes one for the other.
  if (!service.namespace) errors.push(required(at.child('name'), 'service name is required'))
  if (!service.name) errors.push(required(at.child('namespace'), 'service namespace is required'))
  const badPort = isPortNumber(service.port ?? 443)
  if (badPort.length > 0) errors.push(invalid(at.child('port'), service.port, `port is not valid: ${badPort.join(', ')}`))
  return [...errors, ...validatePath(service.path ?? '', at.child('path'))]
}

function validatePath(path: string, at: Path): FieldError[] {
  if (path === '' || path === '/') return []
  if (path === '//') return [invalid(at, path, 'segment[0] may not be empty')]
  const errors = path.startsWith('/') ? [] : [invalid(at, path, "must start with a '/'")]
  path
    .slice(1)
    .replace(/\/$/, '')
    .split('/')
    .forEach((step, i) => {
      if (step === '') errors.push(invalid(at, path, `segment[${i}] may not be empty`))
      else errors.push(...isDNS1123Subdomain(step).map(m => invalid(at, path, `segment[${i}]: ${m}`)))
    })
  return errors
}
