/** File systems in files that become loop devices. */
import { run } from './run.ts'

/** Without fast_commit, which gains little here and is younger than what it is to keep. */
const options = ['-t', 'ext4', '-m', '0', '-E', 'nodiscard,lazy_itable_init=1']
/** mke2fs makes larger journals, of up to 1 GiB, from this size on. */
const largeBytes = 2 ** 34
const largeJournal = ['-J', 'size=64']

/**
 * A flush of the device is one of the file's own file system, which has something to put down itself if blocks are new there. So the
 * journal, where each fsync writes, is of real zeros, not of blocks that are only promised: on a disk with a journal that halves what an
 * fsync costs.
 */
const env = { ...process.env, UNIX_IO_NOZEROOUT: '1' }

/** Makes an ext4 file system in a sparse file of that size. */
export async function makeExt4(file: string, bytes: number, timeoutMs: number): Promise<void> {
  await run('mke2fs', ['-q', '-F', ...options, ...(bytes >= largeBytes ? largeJournal : []), file], { timeoutMs, env })
}
