/** File systems in files that become loop devices. */
import { run } from './run.ts'

/**
 * Options of mke2fs. A flush of the device is one of the file's own file system too, which has a journal for it if blocks are new there: so the
 * journal is written now, and is no larger than it has to be. Without fast_commit, which gains little here and is young.
 */
const options = ['-t', 'ext4', '-m', '0', '-E', 'nodiscard,lazy_itable_init=1']
/** mke2fs makes larger journals, of up to 1 GiB, from this size on. */
const largeBytes = 2 ** 34
const largeJournal = ['-J', 'size=64']

/** Makes an ext4 file system in a sparse file of that size. */
export async function makeExt4(file: string, bytes: number, timeoutMs: number): Promise<void> {
  await run('mke2fs', ['-q', '-F', ...options, ...(bytes >= largeBytes ? largeJournal : []), file], { timeoutMs })
}
