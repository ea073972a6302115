/** Tables and units for people. */

/** Columns padded to their widest cell, as kubectl prints. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows]
  const widths = head.map((_, i) => Math.max(...all.map(r => (r[i] ?? '').length)))
  return all
    .map(r =>
      r
        .map((cell, i) => (i === r.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)))
        .join('   ')
        .trimEnd(),
    )
    .join('\n')
}

export const mebibytes = (bytes: number): string => `${(bytes / 1048576).toFixed(1)}Mi`

export function age(totalSeconds: number): string {
  if (totalSeconds < 120) return `${totalSeconds}s`
  if (totalSeconds < 7200) return `${Math.floor(totalSeconds / 60)}m`
  return totalSeconds < 172_800 ? `${Math.floor(totalSeconds / 3600)}h` : `${Math.floor(totalSeconds / 86_400)}d`
}
