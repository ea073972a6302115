import { describe, expect, it } from 'vitest'
import { EventStream } from '#control-plane/apiserver/verbs/eventstream.ts'
import { InFlight } from '#control-plane/apiserver/chain/inflight.ts'

const text = async (s: EventStream): Promise<string> => {
  let out = ''
  for await (const piece of s) out += Buffer.from(piece).toString()
  return out
}

describe('event streams', () => {
  it('hand over what was pushed, in order, then end', async () => {
    const s = new EventStream()
    s.push([Buffer.from('a'), Buffer.from('b')])
    const first = await s.next()
    expect(Buffer.from(first.value as Uint8Array).toString()).toBe('ab')
    const second = s.next()
    s.push([Buffer.from('c')])
    expect(Buffer.from((await second).value as Uint8Array).toString()).toBe('c')
    s.push([Buffer.from('d')])
    s.end()
    s.push([Buffer.from('e')])
    expect(await text(s)).toBe('d')
  })

  it('drop a reader who does not read', async () => {
    const s = new EventStream()
    let closed = 0
    s.onClose(() => closed++)
    const piece = Buffer.alloc(1 << 20)
    for (let i = 0; i < 100; i++) s.push([piece])
    expect(closed).toBe(1)
    expect(await s.next()).toEqual({ done: true, value: undefined })
  })

  it('send what is there at first whatever its size', async () => {
    const s = new EventStream()
    const piece = Buffer.alloc(1 << 20)
    for (let i = 0; i < 100; i++) s.push([piece], false)
    s.end()
    let size = 0
    for await (const p of s) size += p.length
    expect(size).toBe(100 << 20)
  })

  it('end when the reader leaves', async () => {
    const s = new EventStream()
    let closed = false
    s.onClose(() => (closed = true))
    const waiting = s.next()
    await s.return()
    expect(await waiting).toEqual({ done: true, value: undefined })
    expect(closed).toBe(true)
  })
})

describe('requests in flight', () => {
  it('beyond the limit wait their turn, beyond the queue are refused', async () => {
    const gate = new InFlight(1, 2)
    expect(gate.enter()).toBeUndefined()
    const order: number[] = []
    const turns = [1, 2].map(n => gate.enter()!.then(() => order.push(n)))
    expect(() => gate.enter()).toThrow('Too many requests, please try again later.')
    gate.leave()
    await turns[0]
    expect(order).toEqual([1])
    gate.leave()
    await turns[1]
    gate.leave()
    expect(gate.active).toBe(0)
    expect(gate.enter()).toBeUndefined()
  })
})
