/** The images of the suite, as a catalogue of host images whose programs are copies of what `build.sh` made. */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { dump } from 'js-yaml'

/** A driver that records its calls, one whose volumes are directories, and what they bring with them. */
const csiPrograms = ['mock-driver', 'hostpathplugin', 'livenessprobe', 'csi-node-driver-registrar', 'snapshot-controller'].concat(
  ['provisioner', 'attacher', 'resizer', 'snapshotter'].map(sidecar => `csi-${sidecar}`),
)

const script = (mode: number, ...lines: string[]) => ({ mode, content: `#!/bin/sh\n${lines.join('\n')}\n` })

/** Writes `images.yaml` into the folder of the build, for `cox up --image-catalogue`; resolves with its path. */
export async function writeCatalogue(build: string): Promise<string> {
  const built = (name: string, mode = 0o755) => ({ copy: path.join(build, 'bin', name), mode })
  const agnhost = { '/agnhost': built('agnhost') }
  const gallery = (name: string) => ({
    names: [name],
    entrypoint: ['/agnhost'],
    cmd: ['test-webserver'],
    files: { ...agnhost, '/data.json': { content: `{\n    "image": "${name}.jpg"\n}\n` }, [`/${name}.jpg`]: { content: 'x' } },
  })
  // Programs of CSI that somebody has put there: `build.sh` makes none, their sources are not Debian's.
  // The specs know older ones: provisioners of v2 refuse a flag and have no file system unless told, resizers of v1 want to see pods.
  const told: Record<string, string> = { 'csi-provisioner': '--default-fstype=ext4', 'csi-resizer': '--handle-volume-inuse-error=false' }
  const ofCsi = (name: string) => ({
    names: [`sig-storage/${name}`],
    entrypoint: ['/start'],
    files: {
      '/program': built(name),
      '/start': script(
        0o755,
        'for flag; do shift; case $flag in --provisioner=*) ;; *) set -- "$@" "$flag" ;; esac; done',
        `exec /program ${told[name] ?? ''} "$@"`,
      ),
    },
  })
  const images = [
    {
      names: ['agnhost', 'e2e-test-images/agnhost', 'k8s-authenticated-test/agnhost'],
      // Specs ask with `nc -u`, which Debian's busybox does not know.
      requires: [{ binary: 'nc', package: 'netcat-openbsd' }],
      entrypoint: ['/agnhost'],
      cmd: ['pause'],
      files: {
        ...agnhost,
        '/agnhost-2': built('agnhost'),
        '/localhost.crt': { copy: path.join(build, 'localhost.crt') },
        '/localhost.key': { copy: path.join(build, 'localhost.key') },
        '/uploads/.keep': { content: '' },
      },
    },
    {
      names: ['httpd'],
      cmd: ['httpd-foreground'],
      busyboxApplets: true,
      files: {
        '/usr/local/bin/httpd-foreground': script(
          0o755,
          "trap 'exit 0' TERM INT WINCH",
          'busybox httpd -f -p 80 -h /usr/local/apache2/htdocs & wait $!',
        ),
        '/usr/local/apache2/htdocs/index.html': { content: '<html><body><h1>It works!</h1></body></html>\n' },
      },
    },
    gallery('nautilus'),
    gallery('kitten'),
    // It shows whether a set-user-ID program gains what it may not.
    { names: ['nonewprivs'], cmd: ['nnp'], files: { '/usr/local/bin/nnp': built('nonewprivs', 0o4755) } },
    { names: ['nonroot'], user: '1234', cmd: ['sh'], busyboxApplets: true },
    { names: ['ipc-utils'], cmd: ['sh'] },
    { names: ['debian-iptables', 'build-image/debian-iptables'], cmd: ['sh'] },
    { names: ['jessie-dnsutils'], cmd: ['bash'] },
    { names: ['sample-apiserver'], entrypoint: ['/sample-apiserver'], files: { '/sample-apiserver': built('sample-apiserver') } },
    { names: ['resource-consumer'], entrypoint: ['/consumer'], files: { '/consumer': built('resource-consumer') } },
    { names: ['etcd'], cmd: ['etcd'], files: { '/usr/local/bin/etcd': built('etcd') } },
    ...csiPrograms.filter(name => existsSync(path.join(build, 'bin', name))).map(ofCsi),
  ]
  const file = path.join(build, 'images.yaml')
  await writeFile(file, dump({ images }))
  return file
}
