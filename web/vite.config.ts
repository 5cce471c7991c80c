import { createReadStream, createWriteStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

const outDir = '../crates/console/assets';

/** Puts FILE.gz beside every built file that is worth it; the binary serves it as it is. */
function compressed(): Plugin {
  return {
    name: 'compressed',
    apply: 'build',
    async closeBundle() {
      for (const entry of await readdir(outDir, { recursive: true })) {
        const path = join(outDir, entry);
        const { size } = await stat(path);
        if (!/\.(js|css|html|svg)$/.test(entry) || size < 1024) continue;
        await pipeline(createReadStream(path), createGzip({ level: 9 }), createWriteStream(`${path}.gz`));
      }
    },
  };
}

export default defineConfig({
  plugins: [compressed()],
  build: { outDir, emptyOutDir: true, assetsInlineLimit: 0, modulePreload: { polyfill: false }, target: 'es2022' },
  // `npm run dev` shows the page over a running Millstream, or over the console's demo.
  server: { proxy: { '/api': { target: process.env.MILLSTREAM_HTTP ?? 'http://127.0.0.1:8080', changeOrigin: true } } },
});
