/** Writing to a container's standard input. */
import { spawn } from 'node:child_process'
import { open } from 'node:fs/promises'
import { findBinary } from '../binaries.ts'
import { feed } from '../relay.ts'

/**
 * conmon's attach socket is SEQPACKET, which Node cannot open; perl (part of every Debian, usual elsewhere) or python3 can. Each reads our
 * pipe, sends it on in packets, and leaves at its end, on which conmon closes the container's input if it is to be closed (stdinOnce).
 */
const PERL = `use Socket; socket(my $socket, AF_UNIX, SOCK_SEQPACKET, 0) or die "$!\\n"; connect($socket, pack_sockaddr_un($ARGV[0])) or die "$!\\n";
my $all = ''; vec($all, fileno(STDIN), 1) = 1; vec($all, fileno($socket), 1) = 1;
while (1) {
  my $ready = $all; select($ready, undef, undef, undef);
  if (vec($ready, fileno($socket), 1)) { my $n = sysread($socket, my $output, 65536); last unless $n; }
  if (vec($ready, fileno(STDIN), 1)) { my $n = sysread(STDIN, my $input, 8192); last unless $n; defined send($socket, $input, 0) or last; }
}
shutdown($socket, 1);`
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
  const [perl, python] = [findBinary('perl'), findBinary('python3')]
  if (perl === undefined && python === undefined) {
    if (tty) throw new Error('writing to the terminal of a container needs perl or python3 on the node')
    return await writeToPipe(`/proc/${pid}/fd/0`, data)
  }
  // Relative to the directory: a socket's path may have 108 bytes only.
  const child = spawn((perl ?? python)!, [...(perl ? ['-e', PERL] : ['-c', PYTHON]), 'attach'], {
    cwd: directory,
    stdio: ['pipe', 'ignore', 'pipe'],
  })
  await feed(child, data)
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
