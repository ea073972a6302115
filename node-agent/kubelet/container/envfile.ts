/**
 * Files of environment variables (`fileKeyRef`), in upstream's subset of the shell: `NAME='value'`, where the value is literal and may have
 * several lines. https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-via-file/#env-file-syntax
 */

/**
 * The value of a key in the text of a file; undefined when it is not there. Throws, in upstream's words, with the line that is not of the
 * syntax; what comes after the key is not looked at.
 */
export function parseEnvFile(text: string, key: string): string | undefined {
  const lines = text.split(/\r?\n/)
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!.trimStart()
    if (line === '' || line.startsWith('#')) continue
    const first = i + 1
    const wrong = (number: number, why: string): Error => new Error(`invalid environment variable format at line ${number}: ${why}`)
    const [, name = '', rest] = /^([^=]*)=(.*)$/.exec(line) ?? []
    if (rest === undefined) throw wrong(first, "missing '='")
    if (name.trim() === '') throw wrong(first, 'empty variable name')
    if (name.trim() !== name) throw wrong(first, "whitespace before '=' is not allowed")
    // To a shell that is a variable without a value, and a command.
    if (/^\s/.test(rest)) continue
    if (!rest.startsWith("'")) throw wrong(first, 'value must be enclosed in single quotes')
    // What is on the lines up to the closing quote is part of the value.
    let value = rest.slice(1)
    while (!value.includes("'")) {
      if (++i >= lines.length) throw new Error(`invalid environment variable format starting at line ${first}: unclosed single quote`)
      value += `\n${lines[i]}`
    }
    const end = value.indexOf("'")
    if (!/^\s*(#.*)?$/s.test(value.slice(end + 1))) throw wrong(i + 1, 'unexpected content after closing quote')
    if (name === key) return value.slice(0, end)
  }
  return undefined
}
