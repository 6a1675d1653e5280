#!/usr/bin/env node
// The npm bin: TypeScript sources are run as they are, from any folder.
import { register } from 'tsx/esm/api'

register()
await import('./main.ts')
