/** A container's process is not its program from the beginning. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { programBegins } from '#node-agent/runtime/oci/begins.ts'

test('who is still the runtime’s own is waited for', async () => {
  const child = spawn('sh', ['-c', 'printf "runc:[2:INIT]" >/proc/self/comm; echo; read go; exec sleep 1000'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  try {
    await once(child.stdout, 'data')
    // Not for ever.
    expect(await programBegins(child.pid!)).toBe(true)
    const begins = programBegins(child.pid!)
    child.stdin.write('go\n')
    await begins
    expect(await readFile(`/proc/${child.pid}/comm`, 'utf8')).toBe('sleep\n')
    expect(await programBegins(child.pid!)).toBe(false)
  } finally {
    child.kill('SIGKILL')
  }
})
