/** Writing to a container's standard input. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * conmon's attach socket is SEQPACKET, which Node cannot open; perl (part of every Debian, usual elsewhere) or python3 can. Each reads our pipe, sends it on in
 * packets, and leaves at its end, on which conmon closes the container's input if it is to be closed (stdinOnce).
 */
const PERL = `use Socket; socket(my $s, AF_UNIX, SOCK_SEQPACKET, 0) && connect($s, pack_sockaddr_un($ARGV[0])) or die "$!\\n"; open(my $n, '>', '/dev/null');
my $r = ''; vec($r, fileno(STDIN), 1) = 1; vec($r, fileno($s), 1) = 1;
while (1) { select(my $t = $r, undef, undef, undef);
  if (vec($t, fileno($s), 1)) { my $n = sysread($s, my $b, 65536); last unless $n; }
  if (vec($t, fileno(STDIN), 1)) { my $n = sysread(STDIN, my $b, 8192); last unless $n; defined send($s, $b, 0) or last; } } shutdown($s, 1); close($s);`
const PYTHON = `import os, select, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(sys.argv[1])
while True:
  r, _, _ = select.select([0, s], [], [])
  if s in r and not s.recv(65536): break
  if 0 in r:
    b = os.read(0, 8192)
    if not b: break
    s.send(b)
s.shutdown(socket.SHUT_WR)`

/** Sends `data` until it ends. Ends early, without an error, when the container does. */
export async function writeToShim(directory: string, pid: number, tty: boolean, data: AsyncIterable<Uint8Array>): Promise<void> {
  const bridge = (process.env['PATH'] ?? '').split(':').flatMap(dir => (existsSync(join(dir, 'perl')) ? [{ command: join(dir, 'perl'), script: ['-e', PERL] }] : []))[0]
  const fallback = bridge ?? (process.env['PATH'] ?? '').split(':').flatMap(dir => (existsSync(join(dir, 'python3')) ? [{ command: join(dir, 'python3'), script: ['-c', PYTHON] }] : []))[0]
  if (fallback === undefined && tty) throw new Error('writing to the terminal of a container needs perl or python3 on the node')
  if (fallback === undefined) return await writeToPipe(`/proc/${pid}/fd/0`, data)
  // Relative to the directory: a socket's path may have 108 bytes only.
  const child = spawn(fallback.command, [...fallback.script, 'attach'], { cwd: directory, stdio: ['pipe', 'ignore', 'ignore'] })
  const ended = once(child, 'close').catch(() => undefined)
  child.stdin.on('error', () => {})
  const iterator = data[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), ended.then(() => ({ done: true as const, value: undefined }))])
      if (next.done) break
      if (!child.stdin.write(next.value)) await Promise.race([once(child.stdin, 'drain'), ended])
    }
  } finally {
    child.stdin.end()
    void iterator.return?.()
    await ended
  }
}

/** Without a bridge: the pipe itself. The container never sees its end, since conmon holds it open too. */
async function writeToPipe(path: string, data: AsyncIterable<Uint8Array>): Promise<void> {
  const pipe = await open(path, 'w')
  try {
    for await (const part of data) await pipe.write(part)
  } finally {
    await pipe.close()
  }
}
