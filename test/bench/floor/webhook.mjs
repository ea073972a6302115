/**
 * An admission webhook that lets everything pass; with `?patch` it adds a label. Its certificate comes on standard input; it prints its
 * port.
 */
import { createServer } from 'node:https'
import { text } from 'node:stream/consumers'

const { cert, key } = JSON.parse(await text(process.stdin))
const patch = Buffer.from(JSON.stringify([{ op: 'add', path: '/metadata/labels/seen', value: 'yes' }])).toString('base64')
const server = createServer({ cert, key }, async (req, res) => {
  const { apiVersion, request } = JSON.parse(await text(req))
  const change = req.url.startsWith('/change') ? { patchType: 'JSONPatch', patch } : {}
  res.setHeader('content-type', 'application/json')
  res.end(JSON.stringify({ kind: 'AdmissionReview', apiVersion, response: { uid: request?.uid, allowed: true, ...change } }))
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
