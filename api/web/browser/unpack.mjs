/**
 * Unpacks the Chromium that the npm package holds, with the libraries and the font that a bare machine lacks.
 *
 * Upstream: `make setup-browser`, after npm ci in this folder.
 * Downstream: browser/unpacked, which playwright.config.ts looks into.
 * Guarantee: what was unpacked is whole, or is not there: the folder gets its name last.
 */
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import process from "node:process";

const HERE = import.meta.dirname;
const packed = resolve(HERE, "node_modules/@sparticuz/chromium/bin");
const unpacking = resolve(HERE, "unpacking");
const unpacked = resolve(HERE, "unpacked");

rmSync(unpacking, { recursive: true, force: true });
await mkdir(unpacking);
// The package unpacks into the folder of temporary files, wherever that is.
process.env.TMPDIR = unpacking;
const { inflate } = await import("@sparticuz/chromium");
for (const name of ["chromium.br", "swiftshader.tar.br", "al2023.tar.br", "fonts.tar.br"]) await inflate(resolve(packed, name));
// The package's own file names folders of the place that it was made for.
writeFileSync(
  resolve(unpacking, "fonts.conf"),
  `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>${resolve(unpacked, "fonts")}</dir><dir>/usr/share/fonts</dir><cachedir>${resolve(unpacked, "font-cache")}</cachedir></fontconfig>
`,
);
rmSync(unpacked, { recursive: true, force: true });
renameSync(unpacking, unpacked);
