/** `npm run build`: into dist/. */
import { fileURLToPath } from 'node:url'
import { build } from './build.ts'

await build(fileURLToPath(new URL('../../dist', import.meta.url)))
