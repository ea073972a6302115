/**
 * The system's tar, unpacking what we write to it: what Node cannot do (extended attributes, device numbers) it can. It sees nothing of the
 * machine but its own program and libraries, which it cannot change: a path that led out of the image would lead nowhere.
 */
import { spawn } from 'node:child_process'
import { Buffer } from 'node:buffer'
import { commandPath } from '#shared/linux/run.ts'
import { endOfArchive } from './tarheader.ts'

export interface Untar {
  /** A promise when tar has enough for now. */
  write(bytes: Buffer): Promise<void> | void
  /** Ends the archive; rejects with tar's own words when it could not do all of it. */
  end(): Promise<void>
  /** Kills tar, and waits until it is gone. Idempotent. */
  abort(): Promise<void>
}

/** `$1`: the directory to unpack to, `$2`: an empty one. Programs and libraries are in /usr, wherever else links to them lie. */
const script = `
cd "$2" && mount -n -t tmpfs -o mode=755,size=64k,nr_inodes=100 coxswain-unpack "$2" && cd "$2" && mkdir usr image || exit 1
mount -n -o bind,ro /usr usr && mount -n --bind "$1" image || exit 1
for at in /bin /sbin /lib /lib32 /lib64 /libx32; do
  if [ -L $at ]; then ln -s "$(readlink $at)" .$at
  elif [ -d $at ]; then mkdir .$at && mount -n -o bind,ro $at .$at || exit 1
  fi
done
exec chroot . tar -x -f - -C /image -P -p --numeric-owner --same-owner --delay-directory-restore --xattrs --xattrs-include='*' --warning=no-timestamp
`

const TAIL = 2000
const WRITE_BYTES = 128 << 10

/** Starts tar; `scratch` is an empty directory beside `directory`. Both are absolute. Needs root. */
export function startUntar(directory: string, scratch: string): Untar {
  const child = spawn('unshare', ['--mount', '--propagation', 'private', '--', 'sh', '-c', script, 'sh', directory, scratch], {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { PATH: commandPath, LC_ALL: 'C' },
    cwd: '/',
  })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-TAIL)))
  // Its exit says more than a broken pipe.
  child.stdin.on('error', () => {})
  const ended = new Promise<void>((resolve, reject) => {
    child.on('error', error => reject(new Error(`cannot start unshare: ${error.message}`)))
    child.on('close', (code, signal) =>
      code === 0
        ? resolve()
        : reject(new Error(`tar: ${stderr.trim().split('\n').slice(0, 3).join('; ') || (signal ?? `exit code ${code}`)}`)),
    )
  })
  ended.catch(() => {})
  let pending: Buffer[] = []
  let bytes = 0

  const drained = (): Promise<void> =>
    Promise.race([
      new Promise<void>(resolve => child.stdin.once('drain', () => resolve())),
      ended.then(() => Promise.reject(new Error('tar: ended before the archive did'))),
    ])
  /** Small pieces go together: there is one for each file at least. */
  function flush(): Promise<void> | void {
    const all = pending.length === 1 ? pending[0]! : Buffer.concat(pending)
    pending = []
    bytes = 0
    if (all.length > 0 && !child.stdin.write(all)) return drained()
  }
  return {
    write(part) {
      pending.push(part)
      if ((bytes += part.length) >= WRITE_BYTES) return flush()
    },
    async end() {
      pending.push(endOfArchive)
      await flush()
      child.stdin.end()
      await ended
    },
    async abort() {
      child.stdin.destroy()
      child.kill('SIGKILL')
      await ended.catch(() => {})
    },
  }
}
