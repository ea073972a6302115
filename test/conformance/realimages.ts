/**
 * The images of the suite as archives that a container engine would save: their files are what `build.sh` made and programs of this
 * machine's Debian packages, with the libraries that they need, over a busybox. Nothing else of the machine is in them.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { open } from 'node:fs/promises'
import path from 'node:path'
import {
  digestOf,
  documentsOf,
  hardLink,
  programWithLibraries,
  symlink,
  tarOf,
  treeOf,
  type Entry,
  type TestImage,
} from '../fixtures/images.ts'

/** Where a program is, by the package that brings it. Throws a line that names that. */
function programOf(name: string, debianPackage: string): string {
  const found = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'].map(dir => path.join(dir, name)).find(file => existsSync(file))
  if (found === undefined) throw new Error(`${name} is not installed: apt-get install ${debianPackage}`)
  return realpathSync(found)
}

/** Programs with their libraries at the places that they have in their packages; a file that several need is there once. */
function programs(...wanted: (readonly [name: string, debianPackage: string])[]): Entry[] {
  const entries = wanted.flatMap(([name, from]) => programWithLibraries(`usr/bin/${name}`, programOf(name, from)))
  return [...new Map(entries.map(entry => [entry.name, entry])).values()]
}
const script = (name: string, ...lines: string[]): Entry => ({ name, mode: 0o755, content: `#!/bin/sh\n${lines.join('\n')}\n` })

/** As docker.io/library/busybox: every applet is a link. */
function busybox(): Buffer {
  const program = programOf('busybox', 'busybox')
  const applets = execFileSync(program, ['--list'], { encoding: 'utf8' }).trim().split('\n')
  return tarOf([
    { name: './', mode: 0o755 },
    ...['bin/', 'etc/', 'home/', 'usr/', 'usr/bin/', 'usr/sbin/', 'var/', 'var/run/', 'var/log/'].map(name => ({ name })),
    ...programWithLibraries('bin/busybox', program),
    ...applets.filter(a => a !== 'busybox').map(applet => hardLink(`bin/${applet}`, 'bin/busybox')),
    symlink('sbin', 'bin'),
    { name: 'etc/passwd', content: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n' },
    { name: 'etc/group', content: 'root:x:0:\nnogroup:x:65534:\n' },
    { name: 'etc/nsswitch.conf', content: 'passwd: files\ngroup: files\nhosts: files dns\n' },
    { name: 'root/', mode: 0o700 },
    { name: 'tmp/', mode: 0o1777 },
  ])
}

const nginxConfiguration = `daemon off; error_log stderr; pid /var/run/nginx.pid;
events {}
http { types { text/html html; } access_log /dev/stdout; server { listen 80; root /usr/share/nginx/html; } }
`

/** The images that specs name, by all their names. `build` is the folder of `build.sh`. */
function images(build: string): { names: string[]; image: TestImage }[] {
  const built = (name: string, file: string, mode = 0o755): Entry => ({ name, mode, content: readFileSync(path.join(build, file)) })
  const base = busybox()
  const agnhost = tarOf([built('agnhost', 'bin/agnhost')])
  const tools = tarOf([
    ...programs(['curl', 'curl'], ['dig', 'bind9-dnsutils'], ['nslookup', 'bind9-dnsutils'], ['getent', 'libc-bin'], ['bash', 'bash']),
    ...programs(['ip', 'iproute2'], ['nc', 'netcat-openbsd']),
  ])
  const fixtures = tarOf([
    hardLink('agnhost-2', 'agnhost'),
    built('localhost.crt', 'localhost.crt', 0o644),
    built('localhost.key', 'localhost.key', 0o600),
    { name: 'uploads/' },
  ])
  const nginx = (version: string): TestImage => ({
    layers: [
      base,
      tarOf([
        ...programs(['nginx', 'nginx-light']),
        { name: 'etc/nginx/nginx.conf', content: nginxConfiguration },
        { name: 'usr/share/nginx/html/index.html', content: '<!DOCTYPE html>\n<h1>Welcome to nginx!</h1>\n' },
        ...['var/log/nginx/', 'var/lib/nginx/'].map(name => ({ name })),
      ]),
    ],
    config: { Cmd: ['nginx', '-c', '/etc/nginx/nginx.conf'], Env: [`NGINX_VERSION=${version}`], ExposedPorts: { '80/tcp': {} } },
  })
  const httpd = (version: string): TestImage => ({
    layers: [
      base,
      tarOf([
        script('usr/local/bin/httpd-foreground', "trap 'exit 0' TERM INT WINCH", 'httpd -f -p 80 -h /usr/local/apache2/htdocs & wait $!'),
        { name: 'usr/local/apache2/htdocs/index.html', content: '<html><body><h1>It works!</h1></body></html>\n' },
      ]),
    ],
    config: { Cmd: ['httpd-foreground'], Env: [`HTTPD_VERSION=${version}`], ExposedPorts: { '80/tcp': {} }, StopSignal: 'SIGWINCH' },
  })
  const gallery = (name: string): TestImage => ({
    layers: [
      base,
      agnhost,
      tarOf([
        { name: 'data.json', content: `{\n    "image": "${name}.jpg"\n}\n` },
        { name: `${name}.jpg`, content: 'x' },
      ]),
    ],
    config: { Entrypoint: ['/agnhost'], Cmd: ['test-webserver'] },
  })
  const all: { [name: string]: TestImage } = {
    'docker.io/library/busybox:1.29': { layers: [base], config: { Cmd: ['sh'] } },
    'k8s.gcr.io/pause:3.2': { layers: [agnhost], config: { Entrypoint: ['/agnhost', 'pause'] } },
    'k8s.gcr.io/e2e-test-images/agnhost:2.21': {
      layers: [base, tools, agnhost, fixtures],
      config: { Entrypoint: ['/agnhost'], Cmd: ['pause'], ExposedPorts: { '80/tcp': {} } },
    },
    'docker.io/library/httpd:2.4.38-alpine': httpd('2.4.38'),
    'docker.io/library/httpd:2.4.39-alpine': httpd('2.4.39'),
    'docker.io/library/nginx:1.14-alpine': nginx('1.14'),
    'docker.io/library/nginx:1.15-alpine': nginx('1.15'),
    'docker.io/library/redis:5.0.5-alpine': {
      layers: [base, tarOf([...programs(['redis-server', 'redis-server'], ['redis-cli', 'redis-tools']), { name: 'data/' }])],
      config: { Cmd: ['redis-server', '--protected-mode', 'no'], WorkingDir: '/data' },
    },
    'k8s.gcr.io/etcd:3.4.13-0': { layers: [base, tarOf([built('usr/local/bin/etcd', 'bin/etcd')])], config: { Cmd: ['etcd'] } },
  }
  const e2e = 'gcr.io/kubernetes-e2e-test-images'
  Object.assign(all, {
    [`${e2e}/nautilus:1.0`]: gallery('nautilus'),
    [`${e2e}/kitten:1.0`]: gallery('kitten'),
    // It shows whether a set-user-ID program gains what it may not.
    [`${e2e}/nonewprivs:1.0`]: {
      layers: [base, tarOf([built('usr/local/bin/nnp', 'bin/nonewprivs', 0o4755)])],
      config: { Entrypoint: ['/usr/local/bin/nnp'] },
    },
    [`${e2e}/nonroot:1.0`]: { layers: [base], config: { User: '1234', Cmd: ['sh'] } },
    [`${e2e}/ipc-utils:1.0`]: {
      layers: [base, tarOf(programs(['ipcs', 'util-linux'], ['ipcmk', 'util-linux'], ['ipcrm', 'util-linux']))],
      config: { Cmd: ['sh'] },
    },
    [`${e2e}/jessie-dnsutils:1.0`]: { layers: [base, tools], config: { Cmd: ['bash'] } },
    [`${e2e}/sample-apiserver:1.17`]: {
      layers: [base, tarOf([built('sample-apiserver', 'bin/sample-apiserver')])],
      config: { Entrypoint: ['/sample-apiserver', '--etcd-servers=http://localhost:2379'] },
    },
    [`${e2e}/resource-consumer:1.5`]: {
      layers: [base, tarOf([built('consumer', 'bin/resource-consumer')])],
      config: { Entrypoint: ['/consumer'] },
    },
  } satisfies typeof all)
  const [perl, library] = ['/usr/bin/perl', '/usr/share/perl']
  if (existsSync(perl) && existsSync(library))
    all['docker.io/library/perl:5.26'] = {
      layers: [base, tarOf(programWithLibraries('usr/bin/perl', realpathSync(perl)))],
      config: { Cmd: ['perl'] },
    }
  return Object.entries(all).map(([name, image]) => ({ names: [name], image }))
}

/** Writes `images.tar` into the folder of the build, as `docker save` does; resolves with its path. */
export async function writeArchive(build: string): Promise<string> {
  const file = path.join(build, 'images.tar')
  const output = await open(file, 'w', 0o600)
  const written = new Set<string>()
  const add = async (name: string, content: Buffer): Promise<string> => {
    if (!written.has(name)) {
      written.add(name)
      // Without the end of the archive, which comes once.
      await output.writeFile(tarOf([{ name, content }]).subarray(0, -1024))
    }
    return name
  }
  try {
    const manifest: object[] = []
    for (const { names, image } of images(build)) {
      const { config } = documentsOf(image)
      const Layers: string[] = []
      for (const layer of image.layers) Layers.push(await add(`${digestOf(layer).slice(7)}.tar`, layer))
      manifest.push({ Config: await add(`${digestOf(config).slice(7)}.json`, config), RepoTags: names, Layers })
    }
    await output.writeFile(tarOf([{ name: 'manifest.json', content: JSON.stringify(manifest) }]))
  } finally {
    await output.close()
  }
  return file
}
