/** In a mount namespace with a small disk: puts a layer into a store there, and prints what came of it. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { openImageStore } from '#node-agent/runtime/images/imagestore.ts'
import { putImage } from '../../fixtures/images.ts'

const [disk = '', file = ''] = process.argv.slice(2)
const store = await openImageStore(join(disk, 'store'))
const error = await putImage(store, 'bomb', { layers: [readFileSync(file)] }).then(
  () => '',
  (e: Error) => e.message,
)
process.stdout.write(JSON.stringify({ error, layers: readdirSync(join(disk, 'store/layers')) }))
