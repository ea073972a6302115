/**
 * Regular expressions in Go's syntax. Patterns and texts are users': matching takes time linear in the text, where JavaScript's own
 * expressions would let them stop the server.
 */
import { RE2JS } from 're2js'

/** A compiled pattern. */
export interface Matcher {
  /** Whether the pattern is found in the text. */
  test(text: string): boolean
  /** What it matches, from left to right, at most `limit` of them. */
  findAll(text: string, limit: number): string[]
  /** The first match, and what each pair of parentheses fits of it, '' for nothing; undefined without a match. */
  groups(text: string): string[] | undefined
}

/** Throws an Error in the words of Go's parser. */
export function newMatcher(pattern: string): Matcher {
  const compiled = RE2JS.compile(pattern)
  return {
    test: text => compiled.test(text),
    findAll(text, limit) {
      const found: string[] = []
      const matcher = compiled.matcher(text)
      while (found.length < limit && matcher.find()) found.push(matcher.group() ?? '')
      return found
    },
    groups(text) {
      const matcher = compiled.matcher(text)
      if (!matcher.find()) return undefined
      return Array.from({ length: matcher.groupCount() + 1 }, (_, i) => matcher.group(i) ?? '')
    },
  }
}

/** A test whether a text has a match of the pattern somewhere. Throws an Error in the words of Go's parser. */
export const compilePattern = (pattern: string): Matcher['test'] => newMatcher(pattern).test

/** The same, compiled when it is first used; a pattern that cannot be read matches nothing. */
export function lazyPattern(pattern: string): (text: string) => boolean {
  let test: ((text: string) => boolean) | undefined
  return text => {
    if (!test) {
      try {
        test = compilePattern(pattern)
      } catch {
        test = () => false
      }
    }
    return test(text)
  }
}
