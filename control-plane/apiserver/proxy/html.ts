/**
 * Links in what a proxied server answers: those to the server itself are led through the proxy again, as upstream's
 * k8s.io/apimachinery/pkg/util/proxy does it.
 */
import { posix } from 'node:path'

/** What links are relative to. */
export interface Site {
  /** The proxy's path to the server: `/api/v1/namespaces/default/pods/web/proxy`. */
  readonly prefix: string
  /** Names of the server in links: its address, and the host that the client asked for. */
  readonly hosts: readonly string[]
  /** The host that the client asked for: links with it keep it. */
  readonly requested: string
}

/** A link as the proxy's client must follow it. Only absolute paths on the same host change. */
export function rewriteUrl(url: string, { prefix, hosts, requested }: Site): string {
  const [, scheme = '', authority, path = '', tail = ''] = /^([a-z][a-z0-9+.-]*:)?(?:\/\/([^/?#]*))?([^?#]*)(.*)$/is.exec(url) ?? []
  if ((authority && !hosts.includes(authority)) || !path.startsWith('/')) return url
  const origin = authority && authority === requested ? `${scheme}//${authority}` : ''
  return origin + (path.startsWith(prefix) ? path : posix.join(prefix, path)) + tail
}

/** Attributes that hold URLs, by tag. */
const attributes: { readonly [tag: string]: readonly string[] } = {
  a: ['href'],
  applet: ['codebase'],
  area: ['href'],
  audio: ['src'],
  base: ['href'],
  blockquote: ['cite'],
  body: ['background'],
  button: ['formaction'],
  command: ['icon'],
  del: ['cite'],
  embed: ['src'],
  form: ['action'],
  frame: ['longdesc', 'src'],
  head: ['profile'],
  html: ['manifest'],
  iframe: ['longdesc', 'src'],
  img: ['longdesc', 'src', 'usemap'],
  input: ['src', 'usemap', 'formaction'],
  ins: ['cite'],
  link: ['href'],
  object: ['classid', 'codebase', 'data', 'usemap'],
  q: ['cite'],
  script: ['src'],
  source: ['src'],
  video: ['poster', 'src'],
}
/** Elements whose content is text up to their end tag, and where that begins. */
const rawText: ReadonlyMap<string, RegExp> = new Map(
  ['iframe', 'noembed', 'noframes', 'noscript', 'plaintext', 'script', 'style', 'textarea', 'title', 'xmp'].map(name => [
    name,
    new RegExp(`</${name}`, 'gi'),
  ]),
)
/** What is longer without an end is passed on as it is. */
const maxTag = 16 * 1024

/** Rewrites the links of a document as it comes. */
export async function* rewriteHtml(pieces: AsyncIterable<Uint8Array>, site: Site): AsyncGenerator<Buffer> {
  // Bytes as characters: markup is ASCII in all encodings that matter, and what is no markup stays as it is.
  const scanner = new Scanner(site)
  for await (const piece of pieces) {
    const text = scanner.push(Buffer.from(piece).toString('latin1'), false)
    if (text !== '') yield Buffer.from(text, 'latin1')
  }
  const rest = scanner.push('', true)
  if (rest !== '') yield Buffer.from(rest, 'latin1')
}

class Scanner {
  readonly #site: Site
  /** What is not whole yet. */
  #text = ''
  /** The element in whose raw text `#text` begins. */
  #within = ''

  constructor(site: Site) {
    this.#site = site
  }

  /** Takes more of the document; returns what is through. */
  push(more: string, last: boolean): string {
    const text = this.#text + more
    let out = ''
    let at = 0
    while (at < text.length) {
      const next = this.#next(text, at, last)
      if (next === undefined) break
      out += next.out ?? text.slice(at, next.end)
      at = next.end
    }
    this.#text = text.slice(at)
    return out
  }

  /** The next part and where it ends; undefined when more is needed. */
  #next(text: string, at: number, last: boolean): { end: number; out?: string } | undefined {
    if (this.#within !== '') {
      const endTag = rawText.get(this.#within)!
      endTag.lastIndex = at
      const found = endTag.exec(text)
      if (found) this.#within = ''
      // The beginning of the end tag may be there already.
      const end = found?.index ?? (last ? text.length : text.length - endTag.source.length)
      return end > at ? { end } : found ? this.#next(text, at, last) : undefined
    }
    const open = text.indexOf('<', at)
    if (open !== at) return { end: open < 0 ? text.length : open }
    const next = text[at + 1]
    const waits = !last && text.length - at < maxTag
    const name = /^[a-z][^\s/>]{0,30}/i.exec(text.slice(at + 1, at + 32))?.[0].toLowerCase()
    if (name !== undefined) {
      const end = tagEnd(text, at + 1)
      if (end < 0) return waits ? undefined : { end: text.length }
      if (rawText.has(name)) this.#within = name
      const urls = Object.hasOwn(attributes, name) ? attributes[name]! : []
      return urls.length === 0 ? { end } : { end, out: rewriteTag(text.slice(at, end), name.length + 1, urls, this.#site) }
    }
    if (next !== undefined && next !== '!' && next !== '/') return { end: at + 1 }
    const comment = text.startsWith('<!--', at)
    const end = comment ? text.indexOf('-->', at + 4) : text.indexOf('>', at)
    if (end < 0) return waits ? undefined : { end: text.length }
    return { end: end + (comment ? 3 : 1) }
  }
}

const isSpace = (c: string | undefined): boolean => c === ' ' || c === '\n' || c === '\t' || c === '\r' || c === '\f'

/** The place behind the `>` of a start tag; quotes are such only behind `=`. -1 when it is not there. */
function tagEnd(text: string, from: number): number {
  let value = false
  for (let at = from; at < text.length; at++) {
    const c = text[at]!
    if (c === '>') return at + 1
    if (value && (c === '"' || c === "'")) {
      at = text.indexOf(c, at + 1)
      if (at < 0) return -1
      value = false
    } else if (c === '=') value = true
    else if (!isSpace(c)) value = false
  }
  return -1
}

/** A whole start tag whose attributes begin at `from`, with the values of `urls` rewritten. */
function rewriteTag(tag: string, from: number, urls: readonly string[], site: Site): string {
  let out = ''
  let copied = 0
  let at = from
  const end = tag.length - 1
  const skip = (stop: (c: string) => boolean): number => {
    while (at < end && !stop(tag[at]!)) at++
    return at
  }
  while (at < end) {
    skip(c => !isSpace(c) && c !== '/')
    const key = tag
      .slice(
        at,
        skip(c => isSpace(c) || c === '=' || c === '/'),
      )
      .toLowerCase()
    skip(c => !isSpace(c))
    if (tag[at] !== '=') {
      if (key === '') at++
      continue
    }
    at++
    skip(c => !isSpace(c))
    const quote = tag[at] === '"' || tag[at] === "'" ? tag[at]! : ''
    const start = quote === '' ? at : ++at
    const value = tag.slice(
      start,
      skip(c => (quote === '' ? isSpace(c) : c === quote)),
    )
    if (urls.includes(key)) {
      out += tag.slice(copied, start) + rewriteUrl(value, site)
      copied = at
    }
    if (quote !== '') at++
  }
  return out + tag.slice(copied)
}
