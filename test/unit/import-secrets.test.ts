import assert from 'node:assert/strict'
import test from 'node:test'
import { isSecret } from '../../services/cli/import/secrets.ts'

test('what stands under a name of secrets is one, whatever it looks like', () => {
  const names = [
    'API_KEY',
    'apiKey',
    'GITHUB_TOKEN',
    'DB_PASSWORD',
    'PGPASS',
    'DB_PW',
    'AUTH',
    'Authorization',
    'clientSecret',
    'SENTRY_DSN',
    'SLACK_WEBHOOK',
    'PRIVATE_KEY_PATHS',
    'session',
    'CONNECTION_STRING',
  ]
  for (const name of names) assert.equal(isSecret(name, 'blue'), true, name)
  assert.equal(isSecret('key-file', '/etc/app/key.pem'), false)
  assert.equal(isSecret('key-file', 'sk_live_51Habcdefgh'), true)
})

test('what looks like a token is one, under any name', () => {
  const tokens = [
    'ghp_abcdefghijklmnopqrstuvwxyz0123456789',
    'github_pat_11ABCDEFG',
    'sk-proj-abc123',
    'sk_test_4eC39HqLyjWDarjtT1zdp7dc',
    'xoxb-123-456-abc',
    'AKIAIOSFODNN7EXAMPLE',
    'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc',
    'hf_abcdefghijkl',
    '9f86d081884c7d659a2feaa0c55ad015',
    '123e4567-e89b-12d3-a456-426614174000',
    'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    'p@$$w0rd!',
    '/K7MDENGbPxRfiCYEXAMPLEKEY12',
    'postgres://bob:hunter2@localhost/db',
    'https://api.example.com/mcp?token=abc',
    'https://mcp.example.com/s/8d7f6a5b4c3d2e1f/mcp',
    'Server=db;User=sa;Pwd=x7!',
    '123456789012345',
    '{"apiKey":"x"}',
  ]
  for (const token of tokens) assert.equal(isSecret('VALUE', token), true, token)
})

test('switches, numbers, paths, addresses and ordinary words are not', () => {
  const plain = [
    '',
    'true',
    '8080',
    'production',
    'info',
    'us-east-1',
    '/home/me/notes',
    './app.db',
    '/tmp/holdfast-Ab3xY7/app2.db',
    '~/data/memory.json',
    'C:\\Users\\me',
    'https://api.example.com/v1',
    'http://127.0.0.1:8080/mcp',
    'localhost:5432',
    'postgres://localhost/app',
    '@modelcontextprotocol/server-filesystem',
    '@stripe/mcp@0.3.3',
    'ghcr.io/github/github-mcp-server',
    'repos,issues,pull_requests',
    '2026.8.31',
    'readOnly',
    'application/json',
    'GITHUB_PERSONAL_ACCESS_TOKEN',
  ]
  for (const text of plain) assert.equal(isSecret('VALUE', text), false, text)
})
