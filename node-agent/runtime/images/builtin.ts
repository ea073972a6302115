/** The built-in catalogue: everyday image names and what stands behind each on a node. */
import { basename, join } from 'node:path'
import type { HostImage } from './host-image.ts'
import { mysql, nginx, nginxUnprivileged, postgres, redis } from './servers.ts'

/** A bundle of ours, for a process that is one itself or runs from the sources. */
const bundle = (name: string): string =>
  basename(import.meta.dirname) === 'dist' ? join(import.meta.dirname, name) : join(import.meta.dirname, '../../../dist', name)

const sleepsForEver = ['/bin/sh', '-c', 'trap "exit 0" TERM INT; while :; do sleep 3600 & wait $!; done']
const program = (name: string, ...args: string[]): Pick<HostImage, 'entrypoint' | 'programs'> => ({
  entrypoint: ['/coxswain/node', `/coxswain/programs/${name}.mjs`, ...args],
  programs: true,
})
/**
 * A program that only answers requests ends at once when told to. A container's first process ignores the signals that it has no handler
 * for, and Node takes a tenth of a second to its first one: a pod deleted in that time would last for its whole grace period. The shell has
 * its handler at once.
 */
const answering = (...of: Parameters<typeof program>): ReturnType<typeof program> => {
  const { entrypoint = [], ...rest } = program(...of)
  return { entrypoint: ['/bin/sh', '-c', 'trap "exit 0" TERM INT; "$@" & wait $!', 'sh', ...entrypoint], ...rest }
}

/** An image that is one tool of the node's. */
const tool = (names: string[], binary: string, debianPackage: string, more: Partial<HostImage> = {}): HostImage => ({
  names,
  cmd: [binary],
  requires: [{ binary, package: debianPackage }],
  ...more,
})

/** Runs what it is given, or the tool with it when that is an option or no command. */
const toolEntrypoint = (binary: string): Pick<HostImage, 'entrypoint' | 'files'> => ({
  entrypoint: ['/entrypoint.sh'],
  files: {
    '/entrypoint.sh': {
      mode: 0o755,
      content: `#!/bin/sh\nif [ "\${1#-}" != "$1" ] || ! command -v "$1" >/dev/null; then set -- ${binary} "$@"; fi\nexec "$@"\n`,
    },
  },
})

export const builtinImages: readonly HostImage[] = [
  // Shells and base systems.
  { names: ['busybox', 'alpine'], cmd: ['sh'], requires: [{ binary: 'busybox', package: 'busybox' }], busyboxApplets: true },
  {
    names: ['debian', 'debian-base', 'ubuntu', 'bash', 'buildpack-deps', 'fedora', 'centos', 'rockylinux', 'amazonlinux'],
    cmd: ['bash'],
    requires: [{ binary: 'bash', package: 'bash' }],
    // What is installed: apt-get works in them.
    trees: ['/var/lib/dpkg'],
  },
  { names: ['pause', 'kubernetes/pause', 'rancher/mirrored-pause'], entrypoint: sleepsForEver },
  { names: ['hello-world'], cmd: ['/bin/sh', '-c', 'echo; echo "Hello from coxswain!"'] },

  // Servers.
  nginx,
  nginxUnprivileged,
  redis,
  postgres,
  mysql,
  tool(['memcached'], 'memcached', 'memcached', { user: 'nobody' }),
  tool(['nats'], 'nats-server', 'nats-server', { entrypoint: ['nats-server'], cmd: [] }),
  tool(['haproxy'], 'haproxy', 'haproxy', { cmd: ['haproxy', '-f', '/usr/local/etc/haproxy/haproxy.cfg', '-W', '-db'] }),

  {
    names: ['coxswain/ingress-controller'],
    node: '/usr/local/bin/node',
    entrypoint: ['/usr/local/bin/node', '/usr/local/share/coxswain/ingress-controller.js'],
    files: { '/usr/local/share/coxswain/ingress-controller.js': { copy: bundle('ingress-controller.js') } },
    // It has the proxy's configuration checked.
    requires: [{ binary: 'haproxy', package: 'haproxy' }],
  },

  // Languages and tools.
  { names: ['node'], cmd: ['node'], node: '/usr/local/bin/node' },
  tool(['python'], 'python3', 'python3', { files: { '/usr/local/bin/python': { symlink: '/usr/bin/python3' } } }),
  tool(['perl'], 'perl', 'perl'),
  tool(['ruby'], 'irb', 'ruby'),
  tool(['golang'], 'go', 'golang-go', { cmd: ['bash'], workingDir: '/go' }),
  tool(['curlimages/curl', 'curl', 'curl/curl', 'alpine/curl'], 'curl', 'curl', { ...toolEntrypoint('curl'), user: '100:101' }),
  tool(['alpine/git', 'bitnami/git'], 'git', 'git', { entrypoint: ['git'], cmd: ['--help'] }),
  tool(['kubectl', 'bitnami/kubectl', 'rancher/kubectl', 'alpine/kubectl'], 'kubectl', 'kubectl', { entrypoint: ['kubectl'], cmd: [] }),

  // Drivers of our own: drivers/.
  ...(['block', 'shared'] as const).map(driver => ({
    names: [`coxswain/csi-driver-${driver}`],
    entrypoint: ['/usr/local/bin/node', '/coxswain/dist/csi-driver.js', driver],
    node: '/usr/local/bin/node',
    bundles: true,
  })),

  {
    names: ['coxswain/dra-driver'],
    entrypoint: ['/usr/local/bin/node', '/coxswain/dist/dra-driver.js'],
    node: '/usr/local/bin/node',
    bundles: true,
  },

  // Servers that answer with what they were asked, so that one sees who answered.
  { names: ['echoserver', 'e2e-test-images/echoserver', 'jmalloc/echo-server'], ...answering('echo', '--port', '8080') },
  { names: ['ealen/echo-server'], ...answering('echo', '--port', '80', '--format', 'json') },
  { names: ['mendhak/http-https-echo'], ...answering('echo', '--port', '8080', '--format', 'json') },
  { names: ['traefik/whoami', 'containous/whoami'], ...answering('echo', '--port', '80') },
  {
    names: ['google-samples/hello-app', 'hello-app'],
    ...answering('echo', '--port', '8080', '--text', 'Hello, world!\nVersion: 1.0.0\nHostname: {hostname}'),
  },
  { names: ['hashicorp/http-echo', 'http-echo'], ...answering('http-echo') },
  {
    names: ['agnhost', 'e2e-test-images/agnhost'],
    entrypoint: ['/agnhost'],
    cmd: ['pause'],
    programs: true,
    // By this path Kubernetes' own manifests call it. Without an overlay our programs are below the container's root.
    files: {
      '/agnhost': {
        mode: 0o755,
        content: `#!/bin/sh\nat=/coxswain\n[ -e $at/node ] || at=$COXSWAIN_ROOT/image$at\nexec "$at/node" "$at/programs/agnhost.mjs" "$@"\n`,
      },
    },
  },
]
