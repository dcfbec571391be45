#!/usr/bin/env bash
# Two Gymnasium Dict spaces that compare equal flatten the same observation into different vectors
#
# Versions   gymnasium 1.4.0, from PyPI
# Guess      Dict({"rate": …, "age": …}) and Dict(rate=…, age=…) are two spellings of one space, and
#            flatten() lays the columns out in the order in which they were written.
# Behaviour  A mapping is sorted by key, keyword arguments and pairs are not: the first spelling gives
#            the columns (age, rate), the second (rate, age). == still says that the spaces are
#            equal, so that a check of spaces before a saved policy is loaded passes, and the
#            policy reads one feature as the other.
# Seen       mapping   ['age', 'rate']  [9. 1.]
#            keywords  ['rate', 'age']  [1. 9.]
#            equal     True
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

import numpy as np
from gymnasium.spaces import Box, Dict, flatten

rate, age = Box(0, 10, (1,)), Box(0, 10, (1,))
observation = {"rate": np.array([1], np.float32), "age": np.array([9], np.float32)}
mapping = Dict({"rate": rate, "age": age})
keywords = Dict(rate=rate, age=age)
print("mapping  ", list(mapping), "", flatten(mapping, observation))
print("keywords ", list(keywords), "", flatten(keywords, observation))
print("equal    ", mapping == keywords)
as_described = (
    mapping == keywords
    and flatten(mapping, observation).tolist() == [9, 1]
    and flatten(keywords, observation).tolist() == [1, 9]
)
if not as_described:
    sys.exit("changed: the behaviour is no longer as described")
PYTHON
