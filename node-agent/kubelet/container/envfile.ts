/**
 * Files of environment variables (`fileKeyRef`), in upstream's subset of the shell: `NAME='value'`, where the value is literal and may have
 * several lines. https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-via-file/#env-file-syntax
 */

/** The value of a key in the text of a file; undefined when it is not there. Throws with the line that is not of the syntax. */
export function parseEnvFile(text: string, key: string): string | undefined {
  const lines = text.split('\n')
  let found: string | undefined
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!.trimStart()
    if (line.trim() === '' || line.startsWith('#')) continue
    const number = i + 1
    const wrong = (why: string): Error => new Error(`invalid environment variable format at line ${number}: ${why}`)
    const [, name = '', rest] = /^([^=]*)=\s*(.*)$/.exec(line) ?? []
    if (rest === undefined) throw wrong('there is no =')
    if (name.trim() === '') throw wrong('there is no name')
    if (!rest.startsWith("'")) throw wrong('the value must be enclosed in single quotes')
    // What is on the lines up to the closing quote is part of the value.
    let value = rest.slice(1)
    while (!value.includes("'")) {
      if (++i >= lines.length) throw wrong('the closing quote is missing')
      value += `\n${lines[i]}`
    }
    const end = value.indexOf("'")
    if (value.slice(end + 1).trim() !== '') throw wrong('there is something after the closing quote')
    if (name.trim() === key) found ??= value.slice(0, end)
  }
  return found
}
