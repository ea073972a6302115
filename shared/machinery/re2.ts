/**
 * Regular expressions in Go's syntax. Patterns and texts are users': matching takes time linear in the text, where JavaScript's own
 * expressions would let them stop the server.
 */
import { RE2JS } from 're2js'

/** A test whether a text has a match of the pattern somewhere. Throws an Error in the words of Go's parser. */
export function compilePattern(pattern: string): (text: string) => boolean {
  const compiled = RE2JS.compile(pattern)
  return text => compiled.test(text)
}

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
