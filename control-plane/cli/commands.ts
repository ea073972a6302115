/** The commands of cox but `up`. */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { Option, type Command } from 'commander'
import { adminClient } from './api.ts'
import { labelValue, command, notEmpty, say, wholeNumber, type Common } from './arguments.ts'
import { chaosCommand } from './chaos/command.ts'
import { localNatsUrl } from './components.ts'
import { endToken } from './controlplanejoin.ts'
import { imageCommands } from './image.ts'
import { cutLink, degradeLink, healLink } from './link.ts'
import { followFile } from './logs.ts'
import { addNode, joinNode, killNode, listNodes, removeNode, revokeNode, startDeadNode } from './node-commands.ts'
import { authorityCertificate, kubeconfig, newLogin } from './pki.ts'
import { age, mebibytes, table } from './print.ts'
import { listProcesses } from './ps.ts'
import { authorityOf } from './files.ts'
import { joinConfigOf } from './joinconfig.ts'
import { addressesOf, requireCluster, stateDir } from './state.ts'
import { controlPlaneCommand, createToken, joinCommand } from './token.ts'
import { down } from './up.ts'

const output = new Option('-o, --output <format>', 'output format').choices(['table', 'json']).default('table')
const show = (options: Common, value: unknown, human: () => string): boolean =>
  say(options.output === 'json' ? JSON.stringify(value, null, 2) : human())

export function otherCommands(program: Command): void {
  command(program, 'down', 'stop the cluster; its objects are kept in the state directory').action((o: Common) =>
    down(stateDir(o.stateDir)),
  )

  command(program, 'ps', 'every process of the cluster')
    .addOption(output)
    .action(async (o: Common) => {
      const dir = stateDir(o.stateDir)
      const rows = await listProcesses(dir, requireCluster(dir))
      show(o, rows, () =>
        table(
          ['COMPONENT', 'NODE', 'POD', 'CONTAINER', 'PID', 'PSS', 'UPTIME'],
          rows.map(r => [
            `${r.name ?? r.component}${r.leader ? ' (leader)' : ''}`,
            r.node ?? '',
            r.pod ? `${r.namespace}/${r.pod}` : '',
            r.container ?? '',
            String(r.pid),
            mebibytes(r.pss),
            age(r.uptimeSeconds),
          ]),
        ),
      )
    })

  const node = program.command('node').description('add, remove, kill and start nodes').exitOverride()
  command(node, 'add', 'add a node and wait until it is Ready')
    .option('--name <name>', 'its name (default: the next free node-N)')
    .action(async (o: Common & { name?: string }) => {
      say(`node ${await addNode(stateDir(o.stateDir), o.name)} is Ready`)
    })
  command(
    node,
    'join',
    'make a node with a token (cox token create): this machine a node of a cluster elsewhere, or another one of the cluster here',
  )
    .option('--token <token>', 'a bootstrap token; a machine that has joined needs none to start its node again')
    .option('--name <name>', "its name (default: this machine's; of a cluster here, the next free node-N)")
    .option('--server <url>', 'nats-servers of a cluster elsewhere, with commas between them, or an API server of the cluster here')
    .option(
      '--ca-cert-hash <hash>',
      "sha256:HEX of the authority's public key, which the cluster must have; may be repeated",
      (hash: string, before: string[]) => [...before, hash],
      [],
    )
    .option('--nats-user <user>', 'by which this machine may ask the nats-servers, as `cox token create --print-join-command` prints it')
    .option('--node-ip <address>', "this machine's address for others (default: the one towards the server)")
    .option('--zone <name>', 'where this machine is: the zone of its node, which it keeps', labelValue)
    .action(
      async (
        o: Common & {
          token?: string
          name?: string
          server?: string
          caCertHash: string[]
          natsUser?: string
          nodeIp?: string
          zone?: string
        },
      ) => {
        const { token, name, server, natsUser, zone, nodeIp: nodeIP, caCertHash: caCertHashes } = o
        const dir = stateDir(o.stateDir)
        if (server?.startsWith('nats://') || existsSync(path.join(dir.root, 'joined.json'))) {
          const { joinMachine } = await import('./machine-node.ts')
          say(`node ${await joinMachine(dir, { name, server, token, caCertHashes, natsUser, nodeIP, zone }, say)} is Ready`)
          // What is left open is of no interest.
          process.exit(0)
        }
        if (token === undefined) throw new Error("required option '--token <token>' not specified")
        say(`node ${await joinNode(dir, { token, caCertHashes, ...(name ? { name } : {}), ...(server ? { server } : {}) })} is Ready`)
      },
    )
  command(node, 'leave', 'end the node that this machine is in a cluster elsewhere, and forget everything of it').action(
    async (o: Common) => {
      const { leaveMachine } = await import('./machine-node.ts')
      const name = await leaveMachine(stateDir(o.stateDir))
      say(`this machine is no node any more; \`kubectl delete node ${name}\` removes what the cluster knows of it`)
    },
  )
  command(node, 'revoke', 'end the credentials of a node at once; its next life gets others')
    .argument('<name>')
    .action(async (name: string, o: Common) => {
      await revokeNode(stateDir(o.stateDir), name)
      say(
        `the credentials of node ${name} are revoked; \`cox node kill ${name}\` and \`cox node start ${name}\` give it others, another machine leaves and joins again`,
      )
    })
  command(node, 'rm', 'remove a node for good')
    .argument('<name>')
    .action(async (name: string, o: Common) => {
      await removeNode(stateDir(o.stateDir), name)
      say(`node ${name} removed`)
    })
  command(node, 'kill', 'pull the plug of a node: everything in it dies at once')
    .argument('<name>')
    .action(async (name: string, o: Common) => {
      await killNode(stateDir(o.stateDir), name)
      say(`node ${name} killed`)
    })
  command(node, 'start', 'start a dead node and wait until it is Ready')
    .argument('<name>')
    .action(async (name: string, o: Common) => {
      await startDeadNode(stateDir(o.stateDir), name)
      say(`node ${name} is Ready`)
    })
  command(node, 'list', 'the nodes of the cluster')
    .addOption(output)
    .action(async (o: Common) => {
      const rows = await listNodes(stateDir(o.stateDir))
      show(o, rows, () =>
        table(
          ['NAME', 'STATUS', 'PID', 'ADDRESS', 'POD CIDR'],
          rows.map(r => [r.name, r.status, String(r.pid ?? ''), r.address, r.podCIDR]),
        ),
      )
    })

  imageCommands(program)

  const link = program.command('link').description('cut, degrade and heal the network link of a node').exitOverride()
  const direction = new Option('--direction <way>', 'as the node sees it: packets that come in, that go out, or both')
    .choices(['in', 'out', 'both'])
    .default('both')
  type Direction = 'in' | 'out' | 'both'
  command(link, 'cut', 'lose every packet from and to a node; its pods run on')
    .argument('<name>')
    .addOption(direction)
    .action(async (name: string, o: Common & { direction: Direction }) => {
      await cutLink(stateDir(o.stateDir), name, o.direction)
      say(`link of ${name} cut`)
    })
  command(link, 'degrade', 'lose some packets from and to a node, deliver the others late')
    .argument('<name>')
    .option('--loss <percent>', 'how many of a hundred packets are lost', wholeNumber(0, 100), 0)
    .option('--delay <ms>', 'how much later a packet comes, each way', wholeNumber(0, 10_000), 0)
    .addOption(direction)
    .action(async (name: string, o: Common & { loss: number; delay: number; direction: Direction }) => {
      await degradeLink(stateDir(o.stateDir), name, { loss: o.loss, delayMs: o.delay, direction: o.direction })
      say(`link of ${name} loses ${o.loss} % and is ${o.delay} ms late`)
    })
  command(link, 'heal', 'make the link of a node whole again')
    .argument('<name>')
    .action(async (name: string, o: Common) => {
      await healLink(stateDir(o.stateDir), name)
      say(`link of ${name} healed`)
    })

  chaosCommand(command(program, 'chaos', 'break one thing after the other at random, and check that the cluster keeps its promises'))

  const token = program.command('token').description('bootstrap tokens, with which machines join').exitOverride()
  command(token, 'create', 'make a token and print it; deleting its Secret in kube-system ends it')
    .option('--ttl <hours>', 'how long it is good, in hours (default: 24, with --control-plane 2)', wholeNumber(1, 8760))
    .option('--print-join-command', 'print what makes another machine a node (README: Nodes on other machines)')
    .option('--control-plane', 'print what adds another machine to the control plane (README: A control plane on several machines)')
    .action(async (o: Common & { ttl?: number; printJoinCommand?: boolean; controlPlane?: boolean }) => {
      const dir = stateDir(o.stateDir)
      const { securePort, controlPlanes, natsServers } = requireCluster(dir)
      const { client, close } = adminClient(dir)
      try {
        const server = `https://127.0.0.1:${securePort}`
        const ttlMs = (o.ttl ?? (o.controlPlane ? 2 : 24)) * 3600_000
        if (o.controlPlane) await authorityOf(dir)
        if (o.printJoinCommand || o.controlPlane) joinConfigOf(addressesOf(requireCluster(dir)))
        const token = await createToken(client, { ttlMs, server, ca: authorityCertificate(dir) })
        const command = o.controlPlane ? controlPlaneCommand : joinCommand
        say(o.printJoinCommand || o.controlPlane ? await command(dir, client, token, ttlMs) : token)
        if (o.controlPlane && !controlPlanes && natsServers === undefined)
          process.stderr.write('until the next `cox up` here, what is written there may be lost when this machine loses power\n')
      } finally {
        close()
      }
    })
  command(token, 'revoke', 'end a token, and the credentials of the machine of the control plane that came by it')
    .argument('<id>', 'its first six characters')
    .action(async (id: string, o: Common) => {
      const dir = stateDir(o.stateDir)
      const { client, close } = adminClient(dir)
      try {
        const { cut, left } = await endToken(dir, client, localNatsUrl(addressesOf(requireCluster(dir))), id)
        say(cut ? `the token ${id} is no more, and the machine that has it is cut off` : `the token ${id} is no more`)
        if (left?.runs) say(`its nats-server-${left.n} still runs: \`cox down\` there ends it, before another machine can take its place`)
        else if (left)
          say(
            `nats-server-${left.n} runs there no more: the next machine that joins takes its place; until then writes stop when another is lost`,
          )
      } finally {
        close()
      }
    })

  command(program, 'kubeconfig', "print the administrator's kubeconfig, or make one for somebody else")
    .option('--user <name>', 'a new client certificate for this user', notEmpty)
    .option(
      '--group <name>',
      'a group that the user is in; may be repeated',
      (group: string, before: string[]) => [...before, notEmpty(group)],
      [],
    )
    .option('--namespace <name>', 'where kubectl looks when it is told nothing else')
    .action(async (o: Common & { user?: string; group: string[]; namespace?: string }) => {
      const dir = stateDir(o.stateDir)
      const { securePort } = requireCluster(dir)
      if (o.user === undefined && (o.group.length > 0 || o.namespace !== undefined))
        throw new Error('--group and --namespace are for a --user')
      process.stdout.write(
        o.user === undefined
          ? readFileSync(dir.kubeconfig, 'utf8')
          : kubeconfig(securePort, authorityCertificate(dir), newLogin(dir, o.user, o.group, o.namespace)),
      )
    })

  command(program, 'logs', 'print the log of a component')
    .argument('<component>', "nats-server, kube-apiserver, ..., or a node's name")
    .option('-f, --follow', 'go on as the log grows')
    .action(async (component: string, o: Common & { follow?: boolean }) => {
      const dir = stateDir(o.stateDir)
      requireCluster(dir)
      const file = [component, `node-${component}`].map(c => path.join(dir.logs, `${path.basename(c)}.log`)).find(f => existsSync(f))
      if (!file)
        throw new Error(
          `there is no log of "${component}"; there are: ${readdirSync(dir.logs)
            .filter(f => f.endsWith('.log'))
            .map(f => f.replace(/^node-|\.log$/g, ''))
            .join(', ')}`,
        )
      await followFile(file, o.follow === true)
    })
}
