/**
 * Names in queries, and in what is answered to them, as CoreDNS' plugin rewrite changes them (https://coredns.io/plugins/rewrite): its
 * fields `name`, with all of its types and options, and `ttl`. Names are compared as it does: in lower case, with the dot at their end.
 */
import { newMatcher } from '../machinery/re2.ts'

const types = ['exact', 'prefix', 'suffix', 'substring', 'regex'] as const
type Type = (typeof types)[number]
const maxPattern = 10_000

/** A name that is made of another; undefined where the rule does not fit. */
type Change = (name: string) => string | undefined
/** What becomes of the records of an answer: of their names, of names in their data, or of the seconds that they may be kept. */
export type AnswerRule =
  { readonly of: 'name' | 'value'; readonly change: Change } | { readonly of: 'ttl'; readonly least: number; readonly most: number }

export interface Rewrite {
  readonly change: Change
  /** Whether rules after it are looked at, too. */
  readonly goesOn: boolean
  /** For the answer to `asked`, of which it made `made`. */
  readonly answers: (asked: string, made: string) => readonly AnswerRule[]
}

const dotted = (name: string): string => (name.endsWith('.') ? name : `${name}.`)

/** `{1}` in `to` is what the first pair of parentheses of `pattern` fits. Throws in Go's words for what is no expression. */
function byPattern(pattern: string, to: string): Change {
  if (pattern.length > maxPattern) throw new Error(`an expression of more than ${maxPattern} characters`)
  const matcher = newMatcher(pattern)
  return name => {
    const groups = matcher.groups(name)
    return groups && dotted(groups.reduce((text, group, i) => text.replaceAll(`{${i}}`, group), to.toLowerCase()))
  }
}
const bySuffix =
  (from: string, to: string): Change =>
  name =>
    name.endsWith(from) ? name.slice(0, -from.length) + to : undefined

function changeOf(type: Type, from: string, to: string): Change {
  if (type === 'regex') return byPattern(from, to)
  const [was, is] = [from.toLowerCase(), to.toLowerCase()]
  switch (type) {
    case 'exact':
      return name => (name === dotted(was) ? dotted(is) : undefined)
    case 'suffix':
      return bySuffix(dotted(was), dotted(is))
    case 'prefix':
      return name => (name.startsWith(was) ? is + name.slice(was.length) : undefined)
    case 'substring':
      return name => (name.includes(was) ? dotted(name.replaceAll(was, is)) : undefined)
  }
}

/** Of a name that was made of another, and of names below it, that other one again. */
const back =
  (asked: string, made: string): Change =>
  name =>
    name === made || name.endsWith(`.${made}`) ? name.slice(0, -made.length) + asked : undefined

/** `answer auto`, `answer name FROM TO`, `answer value FROM TO`, where all words `answer` but the first may be missing. */
function answersOf(words: readonly string[]): { auto: boolean; rules: AnswerRule[] } {
  const rules: AnswerRule[] = []
  let auto = false
  for (let at = 0; at < words.length;) {
    if (words[at] === 'answer') at++
    else if (at === 0) throw new Error(`"${words[0]}" is none of its options`)
    const [of, from, to] = words.slice(at)
    if (of === 'auto' || (of === 'name' && from === 'auto')) {
      auto = true
      at += of === 'auto' ? 1 : 2
    } else if ((of === 'name' || of === 'value') && from !== undefined && to !== undefined) {
      rules.push({ of, change: byPattern(from, to) })
      at += 3
    } else throw new Error(`"answer ${of ?? ''}" is none of its options`)
  }
  return { auto, rules }
}

const both = (change: Change): AnswerRule[] => [
  { of: 'name', change },
  { of: 'value', change },
]

function nameRule(words: readonly string[], goesOn: boolean): Rewrite {
  const [type, from, to, ...options] = words.length === 2 ? ['exact', ...words] : words
  if (!types.includes(type as Type) || from === undefined || to === undefined) throw new Error('it needs a type, and two names')
  const { auto, rules } = answersOf(options)
  const answers: Rewrite['answers'] = (asked, made) => {
    if (auto && type === 'suffix') return [...both(bySuffix(dotted(to.toLowerCase()), dotted(from.toLowerCase()))), ...rules]
    if (auto || type === 'exact') return [...both(back(asked, made)), ...rules]
    // CoreDNS leaves the name then, and most who asked do not take the answer.
    return rules.some(r => r.of === 'name') ? rules : [{ of: 'name', change: back(asked, made) }, ...rules]
  }
  return { change: changeOf(type as Type, from, to), goesOn, answers }
}

function ttlRule(words: readonly string[], goesOn: boolean): Rewrite {
  const [type, from, text] = words.length === 2 ? ['exact', ...words] : words
  const range = /^(?:(\d{1,10})|(\d{0,10})-(\d{0,10}))$/.exec(text ?? '')
  if (!types.includes(type as Type) || from === undefined || !range) throw new Error('it needs a name, and seconds')
  const [, exactly, least, most] = range
  const fits = changeOf(type as Type, from, '')
  const rule: AnswerRule = { of: 'ttl', least: Number(exactly ?? (least || 0)), most: Number(exactly ?? (most || 2 ** 31 - 1)) }
  return { change: name => (fits(name) === undefined ? undefined : name), goesOn, answers: () => [rule] }
}

/** A rule of these words; undefined for fields that are not honoured. Throws in words for the user. */
export function parseRewrite(words: readonly string[]): Rewrite | undefined {
  const [mode, ...rest] = words[0] === 'stop' || words[0] === 'continue' ? words : ['stop', ...words]
  const [field, ...args] = rest
  if (field === 'name') return nameRule(args, mode === 'continue')
  return field === 'ttl' ? ttlRule(args, mode === 'continue') : undefined
}

export interface Rewritten {
  readonly name: string
  /** In the order in which they are applied. */
  readonly answers: readonly AnswerRule[]
}

/** What becomes of a name, in lower case and without the dot at its end; undefined where no rule fits. */
export function rewritten(rules: readonly Rewrite[], name: string): Rewritten | undefined {
  let made = dotted(name)
  let answers: AnswerRule[] | undefined
  for (const rule of rules) {
    const asked = made
    const next = rule.change(asked)
    if (next === undefined) continue
    made = dotted(next)
    answers = [...rule.answers(asked, made).toReversed(), ...(answers ?? [])]
    if (!rule.goesOn) break
  }
  return answers && { name: made.slice(0, -1), answers }
}

/** A name of an answer after the rules for it; both without the dot at their end. */
export function renamed(rules: readonly AnswerRule[], of: 'name' | 'value', name: string): string {
  let made = dotted(name)
  for (const rule of rules) if (rule.of === of) made = rule.change(made.toLowerCase()) ?? made
  return made.slice(0, -1)
}
