import { Duplex, type DuplexOptions } from 'node:stream'
import { constants, createDeflate, createInflate } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dictionary } from '#shared/streaming/dictionary.ts'
import { emptyBlocks, headerReader } from '#shared/streaming/headers.ts'
import { SpdyConnection } from '#shared/streaming/spdy.ts'

type Headers = Record<string, string>

/** Blocks as a client's one zlib stream gives them. */
async function deflated(sets: readonly Headers[]): Promise<Buffer[]> {
  const deflate = createDeflate({ dictionary, flush: constants.Z_SYNC_FLUSH })
  const out: Buffer[] = []
  for (const headers of sets) {
    const parts: Buffer[] = []
    const on = (part: Buffer): void => void parts.push(part)
    deflate.on('data', on)
    await new Promise<void>(resolve => {
      deflate.write(block(headers))
      deflate.flush(constants.Z_SYNC_FLUSH, () => resolve())
    })
    deflate.off('data', on)
    out.push(Buffer.concat(parts))
  }
  return out
}
const counted = (text: string): Buffer => Buffer.concat([number(Buffer.byteLength(text)), Buffer.from(text)])
const number = (n: number): Buffer => {
  const b = Buffer.alloc(4)
  b.writeUInt32BE(n >>> 0)
  return b
}
const block = (headers: Headers): Buffer =>
  Buffer.concat([number(Object.keys(headers).length), ...Object.entries(headers).flatMap(([k, v]) => [counted(k), counted(v)])])

const control = (type: number, flags: number, body: Buffer): Buffer =>
  Buffer.concat([Buffer.from([0x80, 3, 0, type]), number((flags << 24) | body.length), body])
const data = (id: number, bytes: Buffer, fin = false): Buffer =>
  Buffer.concat([number(id), number(((fin ? 1 : 0) << 24) | bytes.length), bytes])
const open = (id: number, headerBlock: Buffer): Buffer =>
  control(1, 0, Buffer.concat([number(id), number(0), Buffer.alloc(2), headerBlock]))

/** A client's end of a connection: what the server writes is collected. */
function wire(options: DuplexOptions = {}) {
  const written: Buffer[] = []
  const socket = new Duplex({
    ...options,
    read() {},
    write(chunk: Buffer, _, done) {
      written.push(chunk)
      done()
    },
  })
  return { socket, written: () => Buffer.concat(written) }
}

const name = fc.string({ unit: fc.constantFrom(...'abcdefghijk-'), minLength: 1, maxLength: 12 })
const headerSets = fc.array(
  fc.dictionary(name, fc.oneof(fc.string({ maxLength: 30 }), fc.string({ minLength: 3000, maxLength: 6000 })), {
    maxKeys: 6,
    noNullPrototype: true,
  }),
  { minLength: 1, maxLength: 12 },
)

describe('headers', () => {
  it('are read from one compressed stream, however long it gets', async () => {
    await fc.assert(
      fc.asyncProperty(headerSets, async sets => {
        const read = headerReader()
        for (const [i, part] of (await deflated(sets)).entries()) expect(Object.fromEntries(read(part))).toEqual(sets[i])
      }),
      { numRuns: 50 },
    )
  })
  it('that are none are understood by zlib', async () => {
    const next = emptyBlocks()
    const inflate = createInflate({ dictionary })
    const got: Buffer[] = []
    inflate.on('data', (part: Buffer) => got.push(part))
    for (let i = 0; i < 3; i++) await new Promise<void>(resolve => inflate.write(next(), () => resolve()))
    await new Promise<void>(resolve => inflate.flush(constants.Z_SYNC_FLUSH, () => resolve()))
    expect(Buffer.concat(got)).toEqual(Buffer.alloc(12))
    inflate.destroy()
  })
  it('that would fill the memory are refused', async () => {
    const [bomb] = await deflated([{ a: '0'.repeat(10_000_000) }])
    expect(() => headerReader()(bomb!)).toThrow()
  })
})

describe('a connection', () => {
  it('gives every stream its bytes, wherever the frames are cut', async () => {
    const [first, second] = await deflated([{ StreamType: 'stdin' }, { streamtype: 'error', port: '80' }])
    const sent = Buffer.concat([
      open(1, first!),
      data(1, Buffer.from('he')),
      control(4, 0, Buffer.alloc(12)),
      open(3, second!),
      data(3, Buffer.alloc(0), true),
      data(1, Buffer.from('llo')),
      data(9, Buffer.from('nobody')),
      control(6, 0, number(7)),
      data(1, Buffer.from('!'), true),
    ])
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(sent.length), { maxLength: 30 }), async cuts => {
        const { socket, written } = wire()
        const texts: Promise<string>[] = []
        const seen: Headers[] = []
        const connection = new SpdyConnection(socket, stream => {
          seen.push(Object.fromEntries(stream.headers))
          texts.push(Array.fromAsync(stream.read()).then(pieces => Buffer.concat(pieces).toString()))
          return true
        })
        const places = [0, ...cuts.sort((a, b) => a - b), sent.length]
        for (const [i, at] of places.entries()) if (i > 0) socket.push(sent.subarray(places[i - 1], at))
        while (texts.length < 2) await new Promise(setImmediate)
        expect(await Promise.all(texts)).toEqual(['hello!', ''])
        expect(seen).toEqual([{ streamtype: 'stdin' }, { streamtype: 'error', port: '80' }])
        // The ping comes back.
        expect(written().includes(control(6, 0, number(7)))).toBe(true)
        connection.destroy()
        expect(connection.signal.aborted).toBe(true)
      }),
      { numRuns: 50 },
    )
  })
  it('survives whatever it is sent', async () => {
    const [header] = await deflated([{ streamtype: 'data' }])
    const frame = fc.oneof(
      fc.uint8Array({ maxLength: 40 }).map(b => Buffer.from(b)),
      fc
        .tuple(fc.nat(12), fc.nat(255), fc.uint8Array({ maxLength: 20 }))
        .map(([type, flags, body]) => control(type, flags, Buffer.from(body))),
      fc.nat(5).map(id => open(id, header!)),
      fc.tuple(fc.nat(5), fc.uint8Array({ maxLength: 20 }), fc.boolean()).map(([id, body, fin]) => data(id, Buffer.from(body), fin)),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(frame, { maxLength: 12 }), async frames => {
        const { socket } = wire()
        const connection = new SpdyConnection(socket, stream => {
          stream.discard()
          void stream.write(Buffer.from('x')).catch(() => {})
          return true
        })
        for (const f of frames) socket.push(f)
        socket.push(null)
        if (!connection.signal.aborted) await new Promise(resolve => connection.signal.addEventListener('abort', resolve))
        expect(socket.destroyed).toBe(true)
      }),
      { numRuns: 300 },
    )
  })
  it('tells a stream that was reset, and refuses what is not wanted', async () => {
    const [first, second] = await deflated([{ a: '1' }, { a: '2' }])
    const { socket, written } = wire()
    const streams: { id: number; signal: AbortSignal; read(): AsyncGenerator<Uint8Array>; write(d: Uint8Array): Promise<void> }[] = []
    const connection = new SpdyConnection(socket, stream => {
      streams.push(stream)
      return stream.id === 1
    })
    socket.push(Buffer.concat([open(1, first!), open(3, second!), control(3, 0, Buffer.concat([number(1), number(5)]))]))
    while (streams.length < 2 || !streams[0]!.signal.aborted) await new Promise(setImmediate)
    expect(await Array.fromAsync(streams[0]!.read())).toEqual([])
    await expect(streams[0]!.write(Buffer.from('x'))).rejects.toThrow('closed')
    expect(written().includes(control(3, 0, Buffer.concat([number(3), number(3)])))).toBe(true)
    connection.destroy()
  })
})
