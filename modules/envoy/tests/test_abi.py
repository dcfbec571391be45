"""The names of the interface, against each Envoy's own."""

import os
import re
import subprocess
import unittest

from harness import ENVOYS, MODULE

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../src")


def symbols(path):
    """Symbols that a file offers to others."""
    lines = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1] for line in lines.splitlines()}


class Interface(unittest.TestCase):
    def test_every_function_that_is_called_is_there(self):
        with open(f"{SOURCE}/abi.rs", encoding="utf-8") as file:
            called = set(re.findall(r"\bfn (envoy_dynamic_module_callback_\w+)", file.read()))
        self.assertGreater(len(called), 30)
        for version, envoy in ENVOYS.items():
            with self.subTest(version=version):
                self.assertEqual(called - symbols(envoy), set())

    def test_every_function_that_is_offered_is_looked_for(self):
        offered = {name for name in symbols(MODULE) if name.startswith("envoy_dynamic_module_on_")}
        self.assertGreater(len(offered), 30)
        for version, envoy in ENVOYS.items():
            with self.subTest(version=version), open(envoy, "rb") as file:
                wanted = set(re.findall(rb"envoy_dynamic_module_on_\w+", file.read()))
                self.assertEqual({name for name in offered if name.encode() not in wanted}, set())


if __name__ == "__main__":
    unittest.main()
