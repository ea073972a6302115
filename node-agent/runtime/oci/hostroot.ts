/**
 * What containers of a host image see of the node: its programs and libraries, the configuration that these cannot do without, and the
 * directories that they expect, which are empty. Nothing else: what is on a machine beside that is nobody's business but its owner's.
 */
import { existsSync } from 'node:fs'
import { chmod, chown, copyFile, lstat, mkdir, readFile, readdir, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Programs and libraries, as they are. Most systems have links to /usr in the place of all others. */
const TREES = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32']

/**
 * Files and directories of /etc, of which those are copied that every user of the node may read; `*` at an end stands for any end. Never
 * what may hold a password (pip.conf, npmrc, a server's own configuration).
 */
const ETC = `
  ImageMagick-* X11/fonts alpine-release alternatives apk/arch apk/keys apk/repositories apk/world apt/apt.conf.d apt/keyrings apt/preferences.d
  apt/sources.list apt/sources.list.d apt/trusted.gpg.d bash.bashrc bash_completion.d bindresvport.blacklist ca-certificates
  ca-certificates.conf crypto-policies debconf.conf debian_version deluser.conf adduser.conf dpkg environment ethertypes fonts gai.conf
  groff haproxy/errors host.conf inputrc iproute2 issue issue.net java-* ld.so.cache ld.so.conf ld.so.conf.d libaudit.conf locale.alias
  locale.conf localtime login.defs lsb-release magic magic.mime mailcap mime.types mke2fs.conf mysql/conf.d mysql/mariadb.cnf
  mysql/mariadb.conf.d mysql/my.cnf netconfig networks nginx/fastcgi.conf nginx/fastcgi_params nginx/koi-utf nginx/koi-win
  nginx/mime.types nginx/proxy_params nginx/scgi_params nginx/uwsgi_params nginx/win-utf nsswitch.conf openldap/ldap.conf ldap/ldap.conf
  os-release pam.conf pam.d perl pki postgresql-common profile profile.d protocols python3* redhat-release rpc rpm security services
  sgml shells skel ssl system-release terminfo timezone ucf.conf vim wgetrc xattr.conf xdg xml`

/** Directories that are empty, and their modes. */
const EMPTY: readonly [string, number][] = [
  ...['/dev', '/etc', '/home', '/media', '/mnt', '/opt', '/proc', '/run', '/srv', '/sys', '/var'],
  ...['cache', 'lib', 'local', 'log', 'mail', 'opt', 'spool', 'www', 'www/html'].map(name => `/var/${name}`),
]
  .map((path): [string, number] => [path, 0o755])
  .concat([
    ['/root', 0o700],
    ['/run/lock', 0o1777],
    ['/tmp', 0o1777],
    ['/var/tmp', 0o1777],
  ])
const LINKS = { '/etc/mtab': '/proc/mounts', '/var/lock': '/run/lock', '/var/run': '/run' }

/** Where servers keep their data and logs: empty, with the owners and modes of the node's, where it has them. */
const SERVERS = `
  /var/cache/apt/archives/partial /var/cache/nginx /var/lib/apt/lists/partial /var/lib/memcached /var/lib/misc /var/lib/mysql /var/lib/nginx
  /var/lib/postgresql /var/lib/redis /var/log/apt /var/log/mysql /var/log/nginx /var/log/postgresql /var/log/redis /var/spool/cron`

const words = (text: string): string[] => text.trim().split(/\s+/)

export interface HostRoot {
  /** A layer with all that is not in a tree. */
  base: string
  /** Directories of the node that are seen as they are. */
  trees: string[]
}

/** Makes the base below `directory`, or finds the one that an earlier node-agent of this node made. */
export async function makeHostRoot(directory: string): Promise<HostRoot> {
  const base = join(directory, 'base')
  const present = TREES.filter(existsSync)
  const kinds = await Promise.all(present.map(path => lstat(path)))
  const trees = present.filter((_, n) => kinds[n]!.isDirectory())
  if (existsSync(base)) return { base, trees }
  const fresh = `${base}.${process.pid}`
  await rm(fresh, { recursive: true, force: true })
  await mkdir(fresh, { recursive: true })
  await chmod(fresh, 0o755)
  for (const [path, mode] of [...EMPTY, ...trees.map((path): [string, number] => [path, 0o755])]) {
    await mkdir(join(fresh, path), { recursive: true })
    await chmod(join(fresh, path), mode)
  }
  for (const path of present.filter(path => !trees.includes(path))) await symlink(await readlink(path), join(fresh, path))
  for (const [path, target] of Object.entries(LINKS)) await symlink(target, join(fresh, path))
  for (const path of words(SERVERS)) await asOnNode(fresh, path)
  for (const pattern of words(ETC)) for (const name of await matching(pattern)) await copyReadable(fresh, `/etc/${name}`)
  await writeAccounts(join(fresh, 'etc'))
  await rename(fresh, base)
  return { base, trees }
}

/** The names below /etc that a pattern means. */
async function matching(pattern: string): Promise<string[]> {
  if (!pattern.endsWith('*')) return [pattern]
  return (await readdir('/etc').catch(() => [])).filter(name => name.startsWith(pattern.slice(0, -1)))
}

/** A directory and those above it, empty, with the owners and modes of the node's; not where the node has none. */
export async function asOnNode(layer: string, path: string): Promise<void> {
  const info = await lstat(path).catch(() => undefined)
  if (info?.isDirectory() !== true) return
  if (path !== '/') await asOnNode(layer, dirname(path))
  const copy = join(layer, path)
  if (existsSync(copy)) return
  await mkdir(copy, { recursive: true })
  await own(copy, info)
}

// Another owner can be had by root only.
async function own(copy: string, { uid, gid, mode }: { uid: number; gid: number; mode: number }): Promise<void> {
  if (process.getuid?.() === 0) await chown(copy, uid, gid)
  await chmod(copy, mode & 0o7777)
}

const READABLE = 0o004
const ENTERED = 0o005

async function copyReadable(layer: string, path: string): Promise<void> {
  const info = await lstat(path).catch(() => undefined)
  if (info === undefined) return
  const copy = join(layer, path)
  await asOnNode(layer, dirname(path))
  if (info.isSymbolicLink()) await symlink(await readlink(path), copy)
  else if (info.isFile() && (info.mode & READABLE) === READABLE) {
    await copyFile(path, copy)
    await own(copy, info)
  } else if (info.isDirectory() && (info.mode & ENTERED) === ENTERED) {
    await asOnNode(layer, path)
    for (const name of await readdir(path)) await copyReadable(layer, join(path, name))
  }
}

/** People's accounts have numbers from here on, but for `nobody`. */
const PEOPLE = 1000
const NOBODY = 65_534

/** The system's accounts, none of which has a password. */
async function writeAccounts(etc: string): Promise<void> {
  const own = async (file: string): Promise<string[]> => {
    const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n')
    const id = (line: string): number => Number(line.split(':')[2] ?? NaN)
    return lines.filter(line => id(line) < PEOPLE || id(line) === NOBODY)
  }
  const [passwd, group] = await Promise.all([own('/etc/passwd'), own('/etc/group')])
  const text = (lines: string[]): string => lines.map(line => `${line}\n`).join('')
  // Who may become whom is in /etc/group: people are in no group of the container.
  const people = new Set(passwd.map(line => line.split(':')[0]))
  const members = (line: string): string => {
    const [name, password, gid, list = ''] = line.split(':')
    const left = list.split(',').filter(member => people.has(member))
    return [name, password, gid, left.join(',')].join(':')
  }
  await Promise.all([
    writeFile(join(etc, 'passwd'), text(passwd), { mode: 0o644 }),
    writeFile(join(etc, 'group'), text(group.map(members)), { mode: 0o644 }),
    writeFile(join(etc, 'shadow'), text(passwd.map(line => `${line.split(':')[0]}:*:19000:0:99999:7:::`)), { mode: 0o600 }),
  ])
}
