#!/usr/bin/env bash
# Runs of a Gymnasium vector environment with neighbouring seeds share most of their episodes
#
# Versions   gymnasium 1.4.0, from PyPI
# Guess      reset(seed=0) and reset(seed=1) start two independent runs, so that six seeds of eight
#            environments are 48 independent samples for a confidence interval.
# Behaviour  Sub-environment i is seeded with seed + i. Runs with seeds 0 and 1 have seven of their
#            eight environments in common, shifted by one place; seeds 0 to 5 hold 13 distinct
#            environments, not 48. An interval over such runs is too narrow. Seeds that
#            are at least the number of environments apart share nothing.
# Seen       seeds 0 and 1 share 7 of 8 initial states
#            seeds 0 to 5: 13 distinct initial states in 48
#            seeds 0, 8 .. 40: 48 distinct initial states in 48
#
# Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "missing: python3 with venv (Debian: python3-venv)" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/python"
timeout 300 "$work/python/bin/pip" install --quiet --disable-pip-version-check \
    gymnasium==1.4.0 || { echo "could not install the package" >&2; exit 2; }

timeout 60 "$work/python/bin/python" -W ignore - <<'PYTHON'
import sys

import gymnasium

ENVIRONMENTS, RUNS = 8, 6


def initial_states(seed):
    """The first observation of each sub-environment."""
    environment = gymnasium.make_vec("CartPole-v1", num_envs=ENVIRONMENTS, vectorization_mode="sync")
    observations, _ = environment.reset(seed=seed)
    environment.close()
    return {tuple(row) for row in observations.tolist()}


shared = len(initial_states(0) & initial_states(1))
neighbours = len(set().union(*(initial_states(seed) for seed in range(RUNS))))
apart = len(set().union(*(initial_states(seed * ENVIRONMENTS) for seed in range(RUNS))))
total = RUNS * ENVIRONMENTS
print(f"seeds 0 and 1 share {shared} of {ENVIRONMENTS} initial states")
print(f"seeds 0 to {RUNS - 1}: {neighbours} distinct initial states in {total}")
print(f"seeds 0, {ENVIRONMENTS} .. {(RUNS - 1) * ENVIRONMENTS}: {apart} distinct initial states in {total}")
if (shared, neighbours, apart) != (ENVIRONMENTS - 1, ENVIRONMENTS + RUNS - 1, total):
    sys.exit("changed: the behaviour is no longer as described")
PYTHON
