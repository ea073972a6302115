/** Flags as Go programs take them: `--name=value`, `--name value`, `-name`, and a bare `--name` for true. */
export function parseGoFlags(argv: readonly string[]): Map<string, string[]> {
  const flags = new Map<string, string[]>()
  for (let i = 0; i < argv.length; i++) {
    const [, name, , inline] = /^--?([^=]+)(=([\s\S]*))?$/.exec(argv[i]!) ?? []
    if (name === undefined) throw new Error(`unexpected argument ${JSON.stringify(argv[i])}`)
    const next = argv[i + 1]
    const value = inline ?? (next === undefined || next.startsWith('-') ? 'true' : argv[++i]!)
    flags.set(name, [...(flags.get(name) ?? []), value])
  }
  return flags
}
