/** `--token-auth-file`: tokens in a file of comma-separated values, read once (k8s.io/apiserver/pkg/authentication/token/tokenfile). */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { UserInfo } from '#shared/bus/transport.ts'
import type { Logger } from '#shared/component/log.ts'

const digest = (token: string): string => createHash('sha256').update(token).digest('base64')

/** The fields of each record, with quoted ones as RFC 4180 has them. `#` begins a comment. Throws for an open quote. */
export function readRecords(text: string): string[][] {
  const records: string[][] = []
  for (const line of logicalLines(text)) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const fields: string[] = []
    // Each field with the comma before it.
    for (const [, quoted, plain] of `,${line}`.matchAll(/,(?:\s*"((?:[^"]|"")*)"|([^,]*))/g))
      fields.push(quoted === undefined ? plain!.trim() : quoted.replaceAll('""', '"'))
    records.push(fields)
  }
  return records
}

/** Lines, of which one with an open quote goes on in the next. */
function* logicalLines(text: string): Generator<string> {
  let open = ''
  for (const line of text.split(/\r?\n/)) {
    open = open === '' ? line : `${open}\n${line}`
    if ((open.match(/"/g)?.length ?? 0) % 2 === 1) continue
    yield open
    open = ''
  }
  if (open !== '') throw new Error('a quoted field is not closed')
}

/** The user of a token in the file. Rejects when it cannot be read or a record has less than token, user and uid. */
export async function tokenFile(file: string, log: Logger): Promise<(token: string) => UserInfo | undefined> {
  const users = new Map<string, UserInfo>()
  for (const [i, record] of readRecords(await readFile(file, 'utf8')).entries()) {
    if (record.length < 3)
      throw new Error(`token file '${file}' must have at least 3 columns (token, user name, user uid), found ${record.length}`)
    const [token = '', name = '', uid = '', groups = ''] = record
    if (token === '') {
      log.warn({ file, record: i + 1 }, 'an empty token in the token file is ignored')
      continue
    }
    // Found by their hash, so that the time of an answer tells nothing about the text.
    const key = digest(token)
    if (users.has(key)) log.warn({ file, record: i + 1 }, 'a duplicate token in the token file: the last one counts')
    users.set(key, {
      name,
      ...(uid === '' ? {} : { uid }),
      groups: groups
        .split(',')
        .map(g => g.trim())
        .filter(g => g !== ''),
    })
  }
  return token => users.get(digest(token))
}
