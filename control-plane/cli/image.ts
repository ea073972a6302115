/** `cox image`: what it does, the node's image tool does, in a process of its own. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { Option, type Command } from 'commander'
import { command, type Common } from './arguments.ts'
import { bundles, nodeArgs, processEnv } from './components.ts'
import { readCluster, stateDir } from './state.ts'

/** Runs the tool with our standard streams, and ends as it does. Where images are, the cluster knows; there need be none yet. */
function tool(o: Common & { imageStore?: string }, request: object): void {
  const dir = stateDir(o.stateDir)
  const cluster = existsSync(dir.cluster) ? readCluster(dir) : undefined
  const all = {
    store: o.imageStore === undefined ? (cluster?.imageStore ?? dir.images) : path.resolve(o.imageStore),
    catalogue: cluster?.imageCatalogue,
    registries: cluster?.registries,
    json: o.output === 'json',
    ...request,
  }
  const { status, error } = spawnSync(process.execPath, [...nodeArgs(), path.join(bundles, 'image-tool.js'), JSON.stringify(all)], {
    stdio: 'inherit',
    env: { ...process.env, ...processEnv },
  })
  if (error) throw error
  process.exitCode = status ?? 1
}

/** `store`: where images are when nobody says so; else the cluster knows. */
export function imageCommands(program: Command, store?: string): void {
  const image = program
    .command('image')
    .description('load, pull, list and remove images; map names to programs of the machine')
    .exitOverride()
  const sub = (name: string, description: string): Command => {
    const where = new Option('--image-store <dir>', "where images are kept (default: the cluster's)")
    return command(image, name, description).addOption(store === undefined ? where : where.default(store))
  }
  const output = new Option('-o, --output <format>', 'output format').choices(['table', 'json']).default('table')
  type O = Common & { imageStore?: string }

  sub('load', 'load what docker save or podman save wrote, or an OCI layout: docker save app | cox image load -')
    .argument('<file>', 'an archive, compressed or not, a directory, or - for standard input')
    .option('--name <name>', 'in the place of the name that it has')
    .addOption(output)
    .action((from: string, o: O & { name?: string }) =>
      tool(o, { command: 'load', from: from === '-' ? from : path.resolve(from), name: o.name }),
    )
  sub('pull', 'get an image from its registry, as a node does; passwords are those of docker login')
    .argument('<name...>')
    .option('--registries <file>', "how registries are reached (default: the cluster's)", (file: string) => path.resolve(file))
    .addOption(output)
    .action((names: string[], o: O & { registries?: string }) =>
      tool(o, { command: 'pull', names, ...(o.registries === undefined ? {} : { registries: o.registries }) }),
    )
  sub('list', 'images of the store, and host images')
    .alias('ls')
    .addOption(output)
    .action((o: O) => tool(o, { command: 'list' }))
  sub('rm', 'take a name away, or all names of an id; what nobody needs then is removed')
    .argument('<name...>')
    .action((names: string[], o: O) => tool(o, { command: 'rm', names }))
  sub('inspect', 'what an image is, as JSON')
    .argument('<name...>')
    .action((names: string[], o: O) => tool(o, { command: 'inspect', names }))
  sub('tag', 'give an image one more name')
    .argument('<image>')
    .argument('<name>')
    .action((source: string, target: string, o: O) => tool(o, { command: 'tag', source, target }))
  sub('prune', 'remove what no name and no container needs').action((o: O) => tool(o, { command: 'prune' }))
  sub('save', 'write images as an archive that docker and podman load, too')
    .argument('<name...>')
    .option('-O, --output-file <file>', 'where to (default: standard output)')
    .action((names: string[], o: O & { outputFile?: string }) =>
      tool(o, { command: 'save', names, to: o.outputFile === undefined ? undefined : path.resolve(o.outputFile) }),
    )
  sub('build', 'build an image with buildah, which has to be installed, and load it; FROM may name images of the store')
    .argument('<context>', 'the directory that files are copied from')
    .requiredOption('-t, --tag <name>', 'its name')
    .option('-f, --file <file>', 'the steps (default: Containerfile or Dockerfile in the context)')
    .option('--build-arg <NAME=value>', 'may be repeated', (value: string, before: string[]) => [...before, value], [])
    .option('--target <stage>', 'the stage to build')
    .action((context: string, o: O & { tag: string; file?: string; buildArg: string[]; target?: string }) =>
      tool(o, {
        command: 'build',
        context: path.resolve(context),
        file: o.file === undefined ? undefined : path.resolve(o.file),
        name: o.tag,
        args: o.buildArg,
        target: o.target,
      }),
    )
  sub('map', 'run a program of the machine by the name of an image; cox image rm NAME ends it')
    .argument('<name>')
    .argument('<program...>', 'the program and its first arguments; after -- those that begin with a dash')
    .option('--env <NAME=value>', 'of its environment; may be repeated', (value: string, before: string[]) => [...before, value], [])
    .option('--user <user>', 'whom it runs as (default: root)')
    .action((name: string, words: string[], o: O & { env: string[]; user?: string }) =>
      tool(o, { command: 'map', name, program: words, env: o.env, user: o.user }),
    )
}
