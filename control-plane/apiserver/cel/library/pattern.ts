/** Regular expressions in Go's syntax, matched in time linear in the text: patterns and texts are users'. */
import { RE2JS } from 're2js'
import { ErrorValue } from '../values.ts'

export interface Matcher {
  /** Whether the pattern is found in the text. */
  test(text: string): boolean
  /** What it matches, from left to right, at most `limit` of them. */
  findAll(text: string, limit: number): string[]
}

/** Compiled patterns are kept, as many as this, the latest used ones. */
const kept = 500
const compiled = new Map<string, Matcher | ErrorValue>()

/** An error in Go's words when the pattern is none. */
export function matcherOf(pattern: string): Matcher | ErrorValue {
  let matcher = compiled.get(pattern)
  if (matcher) compiled.delete(pattern)
  else if (compiled.size >= kept) compiled.delete(compiled.keys().next().value!)
  matcher ??= compile(pattern)
  compiled.set(pattern, matcher)
  return matcher
}

function compile(pattern: string): Matcher | ErrorValue {
  let regex: RE2JS
  try {
    regex = RE2JS.compile(pattern)
  } catch (e) {
    return new ErrorValue((e as Error).message)
  }
  return {
    test: text => regex.matcher(text).find(),
    findAll(text, limit) {
      const found: string[] = []
      const matcher = regex.matcher(text)
      while (found.length < limit && matcher.find()) found.push(matcher.group() ?? '')
      return found
    },
  }
}
