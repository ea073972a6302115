/** Bundles every process into one file each under dist/: a bundle with a compile cache starts four times as fast as its sources. */
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { build, type Plugin } from 'esbuild'

const project = path.resolve(import.meta.dirname, '../..')
const out = path.join(project, 'dist')

/**
 * Node's own modules are required, not imported: an import evaluates every export, also those that Node loads when they are asked for (of
 * `node:http` that is undici: 50 ms and 16 MB in each process). They are the prototype of what the bundle has of them, as each file that
 * names one is given a copy of its own properties, a getter for each: thousands, 3 MB of an API server.
 */
const requireBuiltins: Plugin = {
  name: 'require-builtins',
  setup(b) {
    b.onResolve({ filter: /^node:/ }, ({ path: name, kind }) =>
      kind === 'import-statement' ? { path: name, namespace: 'builtin' } : undefined,
    )
    b.onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path: name }) => ({
      contents: `const m = require('${name}'); module.exports = typeof m === 'function' || m === process ? m : Object.create(m)`,
      loader: 'js',
    }))
  },
}

/**
 * pino looks up who called it, for transports that we do not use; with source maps enabled that reads and parses the whole map of the
 * bundle.
 */
const noCaller: Plugin = {
  name: 'no-caller',
  setup(b) {
    b.onLoad({ filter: /\/pino\/lib\/caller\.js$/ }, () => ({ contents: 'module.exports = () => []', loader: 'js' }))
  },
}

/** The nats client asks for TLS, which none of our connections has, before it knows: 2 MB and 20 ms in each process. */
const lateTls: Plugin = {
  name: 'late-tls',
  setup(b) {
    b.onResolve({ filter: /^tls$/ }, ({ importer }) => (/\/nats\/lib\//.test(importer) ? { path: 'tls', namespace: 'late' } : undefined))
    const contents = `
      exports.connect = (...args) => require('node:tls').connect(...args)
      exports.TLSSocket = { [Symbol.hasInstance]: socket => socket.encrypted === true }`
    b.onLoad({ filter: /.*/, namespace: 'late' }, () => ({ contents, loader: 'js' }))
  },
}

await mkdir(out, { recursive: true })
await rm(path.join(out, '.built'), { force: true })
await build({
  entryPoints: {
    cox: path.join(project, 'control-plane/cli/main.ts'),
    container: path.join(project, 'control-plane/cli/container.ts'),
    certificates: path.join(project, 'shared/certificates/library.ts'),
    cel: path.join(project, 'control-plane/apiserver/cel/cel.ts'),
    kms: path.join(project, 'control-plane/apiserver/encryption/kms.ts'),
    'envtest-apiserver': path.join(project, 'control-plane/envtest/apiserver.ts'),
    'envtest-etcd': path.join(project, 'control-plane/envtest/etcd.ts'),
    'kube-apiserver': path.join(project, 'control-plane/apiserver/main.ts'),
    'kube-controller-manager': path.join(project, 'control-plane/controller-manager/main.ts'),
    'cloud-controller-manager': path.join(project, 'control-plane/cloud-controller-manager/main.ts'),
    'ingress-controller': path.join(project, 'control-plane/ingress-controller/main.ts'),
    'kube-scheduler': path.join(project, 'control-plane/scheduler/main.ts'),
    'image-puller': path.join(project, 'node-agent/registry/main.ts'),
    'link-relay': path.join(project, 'control-plane/cli/link-relay.ts'),
    'cluster-dns': path.join(project, 'node-agent/dns/main.ts'),
    'image-tool': path.join(project, 'node-agent/image/main.ts'),
    'csi-driver': path.join(project, 'drivers/main.ts'),
    'dra-driver': path.join(project, 'drivers/devices/main.ts'),
    'node-agent': path.join(project, 'node-agent/main.ts'),
    idmap: path.join(project, 'node-agent/runtime/oci/idmap.ts'),
    'process-shim': path.join(project, 'node-agent/runtime/process/shim.ts'),
    'static-pod': path.join(project, 'node-agent/kubelet/podsource/staticpod.ts'),
    'userspace-proxy': path.join(project, 'node-agent/proxy/userspace/worker.ts'),
  },
  outdir: out,
  absWorkingDir: project,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node22',
  sourcemap: 'linked',
  sourcesContent: false,
  minifySyntax: true,
  minifyWhitespace: true,
  plugins: [requireBuiltins, noCaller, lateTls],
  alias: { tweetnacl: path.join(project, 'shared/bus/ed25519.ts') },
  logLevel: 'warning',
  // Dependencies in CommonJS ask for Node's modules with require().
  banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
})
// Of a text with one character that is not ASCII, V8 keeps every character in two bytes. esbuild escapes them in strings, not in regular
// expressions.
for (const file of await readdir(out)) {
  if (!file.endsWith('.js')) continue
  const text = await readFile(path.join(out, file), 'utf8')
  const ascii = text.replace(/[^\0-\x7f]/g, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
  if (ascii !== text) await writeFile(path.join(out, file), ascii)
}
await writeFile(path.join(out, '.built'), '')
