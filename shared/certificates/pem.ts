/** Texts in PEM (RFC 7468), read as Go's encoding/pem does: what is between blocks, and blocks whose base64 is broken, do not count. */

export interface PemBlock {
  readonly type: string
  /** Whether lines like `Proc-Type: 4,ENCRYPTED` precede the content. */
  readonly hasHeaders: boolean
  readonly der: Buffer
}

const boundary = /^-----(BEGIN|END) ([^-]*)-----[ \t\r]*$/
const base64 = /^[A-Za-z0-9+/]*={0,2}$/

/** In time that grows with the length of the text alone, whatever is in it. */
export function pemBlocks(text: string): PemBlock[] {
  const blocks: PemBlock[] = []
  let type: string | undefined
  let lines: string[] = []
  for (const line of text.split('\n')) {
    const [, edge, name = ''] = boundary.exec(line) ?? []
    if (edge === undefined) {
      if (type !== undefined) lines.push(line.trim())
      continue
    }
    if (edge === 'END' && name === type) {
      const content = lines.filter(l => !l.includes(':')).join('')
      if (base64.test(content) && content.length % 4 === 0)
        blocks.push({ type, hasHeaders: lines.some(l => l.includes(':')), der: Buffer.from(content, 'base64') })
    }
    type = edge === 'BEGIN' ? name : undefined
    lines = []
  }
  return blocks
}

export const encodePem = (type: string, der: Uint8Array): string =>
  `-----BEGIN ${type}-----\n${Buffer.from(der)
    .toString('base64')
    .replace(/(.{64})(?!$)/g, '$1\n')}\n-----END ${type}-----\n`
