/** What Ingresses and Gateways come to: rules that choose a backend, independent of whose words they were said in. */

/** What is wrong with an object, for its events and conditions. It is left out alone; others are served. */
export interface Problem {
  /** `KIND/NAMESPACE/NAME`. */
  readonly about: string
  readonly message: string
}

export type PathMatch =
  | { readonly type: 'Exact' | 'Prefix'; readonly value: string }
  /** Matches at the beginning of the path, upper or lower case, as nginx' locations do. */
  | { readonly type: 'Regex'; readonly value: string }

/** Where requests of a rule may go. Everything in it is text of HAProxy's configuration that was checked already. */
export interface Target {
  /** `NAMESPACE/NAME` of a Service and the name or number of one of its ports; absent: what `lines` say is the answer. */
  readonly service?: { readonly key: string; readonly port: string | number } | undefined
  /** Lines of the backend's section. */
  readonly lines: readonly string[]
  /** A server outside of the cluster by its name, in place of a Service's endpoints: `HOST:PORT`. */
  readonly external?: string | undefined
  /** What is sent a copy of each request; lines name it. */
  readonly mirrors?: readonly Target[] | undefined
  /** What every `server` line ends with: `proto h2`. */
  readonly serverOptions: string
  readonly weight: number
}

export interface Rule {
  /** A name, `*.` and a domain for one more label, `**.` and a domain for one or more, or '' for every host. */
  readonly host: string
  /** For clients over TLS alone, or without; both when absent. */
  readonly secure?: boolean
  /** The port of the proxy where it is served alone; absent: those of Ingresses. */
  readonly at?: number | undefined
  readonly path: PathMatch
  /** Conditions beside host and path, as HAProxy's anonymous ACLs: `{ req.hdr(x) -m str y }`. All must hold. */
  readonly conditions: readonly string[]
  /** Of rules with the same host and path that both match, the one with the greater precedence wins; then the one that comes first. */
  readonly precedence: number
  /** One of them by its weight; none for 503. */
  readonly targets: readonly Target[]
}

export interface Certificate {
  /** As a rule's. */
  readonly at?: number | undefined
  /** Names that it is for; none: for those that it says itself. */
  readonly hosts: readonly string[]
  /** `NAMESPACE/NAME` of its Secret. */
  readonly secret: string
  /** Certificate and key in PEM. */
  readonly pem: string
}

/** Connections over TLS that are handed on by the name that the client says: as they are, or (`ends`) without TLS. */
export interface Stream {
  /** A port of the proxy. */
  readonly at: number
  /** As a rule's. */
  readonly host: string
  readonly ends: boolean
  readonly targets: readonly Target[]
}
/** A port of a Gateway. */
export interface Listening {
  /** The proxy's. */
  readonly at: number
  /** The one that clients know. */
  readonly port: number
  readonly secure: boolean
  /** Host names, as rules have them, of listeners of HTTPS: a connection for one of them is not for another. */
  readonly hosts: readonly string[]
}

export interface Routing {
  readonly streams?: readonly Stream[]
  readonly listening?: readonly Listening[]
  readonly rules: readonly Rule[]
  readonly certificates: readonly Certificate[]
  readonly problems: readonly Problem[]
}

/** HAProxy's variable of `:PORT` for requests at another port than the usual one of their scheme; those have none. */
export const listenerPort = 'txn.port'

/** One word of HAProxy's configuration. Throws for characters that would end a line. */
export function word(text: string): string {
  // eslint-disable-next-line no-control-regex -- those are the ones
  if (/[\0-\x1f\x7f]/.test(text)) throw new Error(`${JSON.stringify(text)} has control characters`)
  return `"${text.replace(/[\\"$]/g, c => `\\${c}`)}"`
}
/** The same where HAProxy looks for `%[...]` in it. */
export const literal = (text: string): string => word(text.replaceAll('%', '%%'))
