/**
 * Headers of tar archives, both ways: ustar, GNU's long names and base-256 numbers, PAX, and all four ways to write sparse files. Names and
 * extended attributes are bytes: here strings of one byte a character (latin1). Why not a library: those for Node (tar-stream, tar) read
 * PAX as UTF-8 text, which breaks file capabilities, know no sparse files, and have more to them than this.
 */
import { ImageError } from '../imageservice.ts'

export type EntryType = 'file' | 'link' | 'symlink' | 'character' | 'block' | 'directory' | 'fifo'

export interface TarEntry {
  type: EntryType
  name: string
  /** Of links: where to. */
  linkname: string
  mode: number
  uid: number
  gid: number
  /** Bytes that follow; of a sparse file only what is not hole. */
  size: number
  /** Seconds, as a decimal number. */
  mtime: string
  major: number
  minor: number
  xattrs: ReadonlyMap<string, Buffer>
  /** Where the bytes of a sparse file belong. */
  sparse?: { realSize: number; map: readonly (readonly [offset: number, length: number])[] }
}

export const BLOCK = 512
/** Of one header beside the block. Bytes. */
export const maxHeaderBytes = 4 << 20

const types: { [flag: string]: EntryType } = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
}
const flags: Record<EntryType, string> = { file: '0', link: '1', symlink: '2', character: '3', block: '4', directory: '5', fifo: '6' }

const bad = (why: string): ImageError => new ImageError(`the archive is damaged: ${why}`)

/** Text up to the first NUL. */
function textAt(block: Buffer, offset: number, length: number): string {
  const end = block.indexOf(0, offset)
  return block.toString('latin1', offset, end < 0 || end > offset + length ? offset + length : end)
}

/** Octal digits, or GNU's binary. */
function numberAt(block: Buffer, offset: number, length: number): number {
  const first = block[offset]!
  if (first === 0x80 || first === 0xff) {
    let value = first === 0xff ? -1n : 0n
    for (let n = offset + 1; n < offset + length; n++) value = (value << 8n) | BigInt(block[n]!)
    const number = Number(value)
    if (!Number.isSafeInteger(number)) throw bad('a number is too large')
    return number
  }
  const text = textAt(block, offset, length).trim()
  if (!/^[0-7]*$/.test(text)) throw bad(`${JSON.stringify(text)} is no octal number`)
  return text === '' ? 0 : parseInt(text, 8)
}

function sumOf(block: Buffer): number {
  let sum = 8 * 32
  for (let n = 0; n < 148; n++) sum += block[n]!
  for (let n = 156; n < BLOCK; n++) sum += block[n]!
  return sum
}

/** What one block says; `flag` tells of headers for the next one. */
export interface RawHeader extends Omit<TarEntry, 'type' | 'xattrs' | 'sparse'> {
  flag: string
}

/** Undefined for a block of zeros, with which an archive ends. Throws ImageError. */
export function decodeBlock(block: Buffer): RawHeader | undefined {
  const sum = sumOf(block)
  if (sum === 8 * 32 && block[148] === 0) return undefined
  if (sum !== numberAt(block, 148, 8)) throw bad('a header has a wrong check sum')
  const prefix = block.toString('latin1', 257, 263) === 'ustar\0' ? textAt(block, 345, 155) : ''
  const name = textAt(block, 0, 100)
  return {
    flag: block.toString('latin1', 156, 157),
    name: prefix === '' ? name : `${prefix}/${name}`,
    linkname: textAt(block, 157, 100),
    mode: numberAt(block, 100, 8) & 0o7777,
    uid: numberAt(block, 108, 8),
    gid: numberAt(block, 116, 8),
    size: numberAt(block, 124, 12),
    mtime: String(numberAt(block, 136, 12)),
    major: numberAt(block, 329, 8),
    minor: numberAt(block, 337, 8),
  }
}

/** The records of a PAX header, in order: a key may come more than once. */
export function decodePax(bytes: Buffer): [key: string, value: Buffer][] {
  const records: [string, Buffer][] = []
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at)
    const digits = space < 0 ? '' : bytes.toString('latin1', at, space)
    const end = at + Number(digits)
    const equals = bytes.indexOf(0x3d, space)
    if (!/^[1-9]\d{0,7}$/.test(digits) || end > bytes.length || bytes[end - 1] !== 0x0a || equals < 0 || equals >= end)
      throw bad('a PAX header is malformed')
    records.push([bytes.toString('latin1', space + 1, equals), bytes.subarray(equals + 1, end - 1)])
    at = end
  }
  return records
}

const wholeNumber = (text: string): number => {
  const value = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) throw bad(`${JSON.stringify(text)} is no number`)
  return value
}

/** Checks a map: in order, within the file, as many bytes as follow. */
function sparseMap(numbers: readonly number[], realSize: number, size: number): NonNullable<TarEntry['sparse']> {
  const map: [number, number][] = []
  let end = 0
  let bytes = 0
  for (let n = 0; n + 1 < numbers.length; n += 2) {
    const [offset, length] = [numbers[n]!, numbers[n + 1]!]
    if (offset < end || offset + length > realSize) throw bad('the map of a sparse file is out of order')
    end = offset + length
    bytes += length
    map.push([offset, length])
  }
  if (numbers.length % 2 !== 0 || bytes !== size) throw bad('the map of a sparse file does not fit it')
  return { realSize, map }
}

const XATTR = 'SCHILY.xattr.'

/** Reads what headers say of the next entry, of bytes that come from `read`, which rejects when the archive ends before. */
export async function readEntry(read: (bytes: number) => Promise<Buffer | undefined>): Promise<TarEntry | undefined> {
  let pax: [string, Buffer][] = []
  let [longName, longLink]: (string | undefined)[] = []
  const padded = async (size: number): Promise<Buffer> => {
    if (size > maxHeaderBytes) throw bad(`a header has ${size} bytes`)
    const bytes = size === 0 ? Buffer.alloc(0) : await read(Math.ceil(size / BLOCK) * BLOCK)
    if (bytes === undefined) throw bad('it ends within a header')
    return bytes.subarray(0, size)
  }
  for (;;) {
    const block = await read(BLOCK)
    const raw = block && decodeBlock(block)
    if (raw === undefined) {
      if (pax.length > 0 || longName !== undefined || longLink !== undefined) throw bad('it ends after a header')
      return undefined
    }
    if (raw.size < 0) throw bad('a size is negative')
    if (raw.flag === 'x') pax = decodePax(await padded(raw.size))
    // Of all entries that follow: nobody who makes layers says anything in one that matters.
    else if (raw.flag === 'g') await padded(raw.size)
    else if (raw.flag === 'L') longName = textAt(await padded(raw.size), 0, maxHeaderBytes)
    else if (raw.flag === 'K') longLink = textAt(await padded(raw.size), 0, maxHeaderBytes)
    else return await assemble(raw, block!, pax, longName, longLink, read)
  }
}

async function assemble(
  raw: RawHeader,
  block: Buffer,
  pax: readonly [string, Buffer][],
  longName: string | undefined,
  longLink: string | undefined,
  read: (bytes: number) => Promise<Buffer | undefined>,
): Promise<TarEntry> {
  const type = types[raw.flag]
  if (type === undefined) throw bad(`${JSON.stringify(raw.name)} is of the unknown type ${JSON.stringify(raw.flag)}`)
  const { flag, ...header } = raw
  const told = new Map(pax.map(([key, value]) => [key, value.toString('latin1')]))
  const text = (key: string): string | undefined => told.get(key) || undefined
  const number = (key: string): number | undefined => {
    const value = text(key)
    return value === undefined ? undefined : wholeNumber(value)
  }
  const mtime = text('mtime')
  if (mtime !== undefined && !/^-?\d{1,15}(\.\d*)?$/.test(mtime)) throw bad(`${JSON.stringify(mtime)} is no time`)
  const xattrs = new Map(pax.filter(([key]) => key.startsWith(XATTR)).map(([key, value]) => [key.slice(XATTR.length), value]))
  const entry: TarEntry = {
    ...header,
    type: type === 'file' && flag !== 'S' && (longName ?? text('path') ?? raw.name).endsWith('/') ? 'directory' : type,
    name: text('GNU.sparse.name') ?? text('path') ?? longName ?? raw.name,
    linkname: text('linkpath') ?? longLink ?? raw.linkname,
    uid: number('uid') ?? raw.uid,
    gid: number('gid') ?? raw.gid,
    size: number('size') ?? raw.size,
    mtime: mtime ?? raw.mtime,
    xattrs,
  }
  if (entry.uid < 0 || entry.gid < 0) throw bad('an owner is negative')
  if (entry.type !== 'file') return { ...entry, size: entry.type === 'directory' ? 0 : entry.size }
  return await withSparse(entry, flag, block, pax, number, text, read)
}

async function withSparse(
  entry: TarEntry,
  flag: string,
  block: Buffer,
  pax: readonly [string, Buffer][],
  number: (key: string) => number | undefined,
  text: (key: string) => string | undefined,
  read: (bytes: number) => Promise<Buffer | undefined>,
): Promise<TarEntry> {
  const more = async (): Promise<Buffer> => {
    const next = await read(BLOCK)
    if (next === undefined) throw bad('it ends within the map of a sparse file')
    return next
  }
  if (flag === 'S') {
    const numbers: number[] = []
    const take = (of: Buffer, offset: number, count: number): void => {
      for (let n = 0; n < count && of[offset + n * 24] !== 0; n++)
        numbers.push(numberAt(of, offset + n * 24, 12), numberAt(of, offset + n * 24 + 12, 12))
    }
    take(block, 386, 4)
    for (let extended = block[482] !== 0; extended;) {
      const next = await more()
      take(next, 0, 21)
      if (numbers.length > maxHeaderBytes / 24) throw bad('the map of a sparse file is too long')
      extended = next[504] !== 0
    }
    return { ...entry, sparse: sparseMap(numbers, numberAt(block, 483, 12), entry.size) }
  }
  const major = text('GNU.sparse.major')
  const realSize = number('GNU.sparse.realsize') ?? number('GNU.sparse.size')
  if (realSize === undefined) return entry
  if (major === undefined || major === '0') {
    // 0.0 has a record a number, 0.1 one for all.
    const single = pax.filter(([key]) => key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes').map(([, v]) => v.toString('latin1'))
    const numbers = (text('GNU.sparse.map')?.split(',') ?? single).map(wholeNumber)
    return { ...entry, sparse: sparseMap(numbers, realSize, entry.size) }
  }
  if (major !== '1') throw bad(`sparse files of version ${major} are not known`)
  // 1.0 has its map before the bytes: how many pieces, then their numbers, a line each.
  let head = ''
  let blocks = 0
  const lines = async (count: number): Promise<string[]> => {
    for (;;) {
      const found = head.split('\n')
      if (found.length > count) return found.slice(0, count)
      if (head.length > maxHeaderBytes) throw bad('the map of a sparse file is too long')
      head += (await more()).toString('latin1')
      blocks++
    }
  }
  const count = wholeNumber((await lines(1))[0]!)
  if (count > maxHeaderBytes / 4) throw bad('the map of a sparse file is too long')
  const numbers = (await lines(1 + 2 * count)).slice(1).map(wholeNumber)
  const size = entry.size - blocks * BLOCK
  return { ...entry, size, sparse: sparseMap(numbers, realSize, size) }
}

const octal = (value: number, length: number): Buffer | string => {
  const text = value.toString(8)
  if (value >= 0 && text.length < length) return `${text.padStart(length - 1, '0')}\0`
  const binary = Buffer.alloc(length, value < 0 ? 0xff : 0)
  let rest = BigInt(value)
  for (let n = length - 1; n > 0; n--, rest >>= 8n) binary[n] = Number(rest & 0xffn)
  if (value >= 0) binary[0] = 0x80
  return binary
}

function encodeBlock(header: Omit<RawHeader, 'mtime'> & { mtime: number }): Buffer {
  const block = Buffer.alloc(BLOCK)
  const put = (value: Buffer | string, offset: number): void => {
    if (typeof value === 'string') block.write(value, offset, 'latin1')
    else value.copy(block, offset)
  }
  put(header.name.slice(0, 100), 0)
  put(octal(header.mode, 8), 100)
  put(octal(header.uid, 8), 108)
  put(octal(header.gid, 8), 116)
  put(octal(header.size, 12), 124)
  put(octal(header.mtime, 12), 136)
  put(header.flag, 156)
  put(header.linkname.slice(0, 100), 157)
  put('ustar\x0000', 257)
  put(octal(header.major, 8), 329)
  put(octal(header.minor, 8), 337)
  put(`${sumOf(block).toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

const plain = { linkname: '', mode: 0o644, uid: 0, gid: 0, mtime: 0, major: 0, minor: 0 }
const pad = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)])

function paxRecord(key: string, value: Buffer): Buffer {
  const rest = key.length + value.length + 3
  let length = rest + String(rest).length
  if (String(length).length > String(rest).length) length = rest + String(length).length
  return Buffer.concat([Buffer.from(`${length} ${key}=`, 'latin1'), value, Buffer.from('\n')])
}

/** The headers of an entry, as GNU tar reads them; its bytes follow, padded to blocks. A sparse one's map is among the headers. */
export function encodeEntry(entry: TarEntry): Buffer {
  const parts: Buffer[] = []
  const long = (flag: string, text: string): void => {
    const bytes = Buffer.from(`${text}\0`, 'latin1')
    parts.push(encodeBlock({ ...plain, name: '././@LongLink', flag, size: bytes.length }), pad(bytes))
  }
  const records: Buffer[] = [...entry.xattrs].map(([name, value]) => paxRecord(XATTR + name, value))
  const tell = (key: string, value: string): void => void records.push(paxRecord(key, Buffer.from(value, 'latin1')))
  if (entry.mtime.includes('.')) tell('mtime', entry.mtime)
  let map: Buffer = Buffer.alloc(0)
  if (entry.sparse !== undefined) {
    tell('GNU.sparse.major', '1')
    tell('GNU.sparse.minor', '0')
    tell('GNU.sparse.name', entry.name)
    tell('GNU.sparse.realsize', String(entry.sparse.realSize))
    // How long the file is tar takes from the last piece.
    const pieces = [...entry.sparse.map, [entry.sparse.realSize, 0] as const]
    map = pad(Buffer.from([pieces.length, ...pieces.flat()].map(n => `${n}\n`).join('')))
  }
  if (records.length > 0) {
    const bytes = Buffer.concat(records)
    parts.push(encodeBlock({ ...plain, name: 'pax', flag: 'x', size: bytes.length }), pad(bytes))
  }
  if (entry.name.length > 100) long('L', entry.name)
  if (entry.linkname.length > 100) long('K', entry.linkname)
  const { type, mtime, xattrs: _, sparse: __, ...header } = entry
  parts.push(encodeBlock({ ...header, mtime: Math.floor(Number(mtime)), flag: flags[type], size: map.length + entry.size }), map)
  return Buffer.concat(parts)
}

/** With which an archive ends. */
export const endOfArchive = Buffer.alloc(2 * BLOCK)
export const paddingOf = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK
