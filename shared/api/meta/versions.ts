/** The order of API versions: v2 before v1, v1 before v1beta2, then v1alpha1; other names come last, by the alphabet. */

const parts = (version: string): readonly [rank: number, major: number, minor: number] => {
  const m = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version)
  if (!m) return [-1, 0, 0]
  return [m[2] === undefined ? 2 : m[2] === 'beta' ? 1 : 0, Number(m[1]), Number(m[3] ?? 0)]
}

/** For sorting, the best first. */
export function versionOrder(a: string, b: string): number {
  const [x, y] = [parts(a), parts(b)]
  return y[0] - x[0] || y[1] - x[1] || y[2] - x[2] || (a < b ? -1 : a > b ? 1 : 0)
}
