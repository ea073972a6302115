import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { rewriteHtml, rewriteUrl } from '#control-plane/apiserver/proxy/html.ts'

const prefix = '/api/v1/namespaces/x/pods/web/proxy'
const site = { prefix, hosts: ['10.0.0.1:80', 'localhost:8001'], requested: 'localhost:8001' }

test.each([
  ['/foo', `${prefix}/foo`],
  ['/', `${prefix}/`],
  ['/foo/?a=/b#c', `${prefix}/foo/?a=/b#c`],
  ['http://10.0.0.1:80/foo', `${prefix}/foo`],
  ['//10.0.0.1:80/foo', `${prefix}/foo`],
  ['http://localhost:8001/foo', `http://localhost:8001${prefix}/foo`],
  [`${prefix}/foo`, `${prefix}/foo`],
  ['http://example.com/foo', 'http://example.com/foo'],
  ['foo/bar', 'foo/bar'],
  ['#top', '#top'],
  ['mailto:a@b.c', 'mailto:a@b.c'],
  ['', ''],
])('the link %s becomes %s', (url, expected) => expect(rewriteUrl(url, site)).toBe(expected))

const rewritten = async (html: string, size = html.length): Promise<string> => {
  async function* pieces() {
    for (let at = 0; at < html.length; at += size) yield Buffer.from(html.slice(at, at + size), 'latin1')
  }
  return Buffer.concat(await Array.fromAsync(rewriteHtml(pieces(), site))).toString('latin1')
}

describe('a document', () => {
  const cases: [string, string][] = [
    ['<a href="/x">test</a>', `<a href="${prefix}/x">test</a>`],
    ["<A\n class=c HREF = '/x?a&amp;b' >", `<A\n class=c HREF = '${prefix}/x?a&amp;b' >`],
    ['<img src=/i.png alt="a > b"/>', `<img src=${prefix}/i.png alt="a > b"/>`],
    ['<p href="/x">', '<p href="/x">'],
    ['<!-- <a href="/x"> --><a href="/x">', `<!-- <a href="/x"> --><a href="${prefix}/x">`],
    [
      '<script src="/s.js">"<a href=\'/x\'>"</SCRIPT><a href=/x>',
      `<script src="${prefix}/s.js">"<a href='/x'>"</SCRIPT><a href=${prefix}/x>`,
    ],
    ['<!doctype html><br><a href="http://example.com/">1 < 2</a', '<!doctype html><br><a href="http://example.com/">1 < 2</a'],
    ['<a disabled =x href="/x"="/y">', `<a disabled =x href="${prefix}/x"="/y">`],
    ['<a href="/x', '<a href="/x'],
    ['\xff<a href="/\xe9">', `\xff<a href="${prefix}/\xe9">`],
  ]
  test.each(cases)('%s', async (html, expected) => {
    for (const size of [html.length, 1, 3]) expect(await rewritten(html, size)).toBe(expected)
  })

  test('comes through whole, however it is cut', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('<', '>', '"', "'", '=', ' ', 'a', 'script', '</script', '!--', '-->', 'href', '/', 'b')),
        fc.integer({ min: 1, max: 9 }),
        async (parts, size) => {
          const html = parts.join('')
          const whole = await rewritten(html)
          expect(await rewritten(html, size)).toBe(whole)
          expect(whole.replaceAll(prefix, '')).toHaveLength(html.length)
        },
      ),
    ))

  test('costs time in proportion to its length', async () => {
    for (const part of ['<a ', 'a', '=', '<a =""', '<script>', '<!--', '"', '<', ' '])
      expect((await rewritten(part.repeat(300_000), 64 * 1024)).length).toBe(part.length * 300_000)
  })
})
