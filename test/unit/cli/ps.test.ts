import { expect, test } from 'vitest'
import { nodeProgram } from '#control-plane/cli/ps.ts'

test('a node’s programs are told from the shells that keep them', () => {
  const agent = '/opt/node --expose-gc /opt/dist/node-agent.js --node-name node-1 '
  expect(nodeProgram(agent)).toBe('node-agent')
  expect(nodeProgram(agent.replace('node-agent.js', 'cluster-dns.js'))).toBe('cluster-dns')
  expect(nodeProgram(`sh /opt/node-agent/init.sh ${agent}`)).toBeUndefined()
  expect(nodeProgram('sleep 1000000 ')).toBeUndefined()
})
