"""Which artifact serves, what the numbers of the pages mean, and how shadow mode agrees: as operators read it."""

import re
import unittest
import zlib

from case import Case
from harness import ARTIFACT


class Identity(Case):
    def setUp(self):
        super().setUp()
        with open(ARTIFACT, "rb") as file:
            artifact = file.read()
        self.checksum = f"{zlib.crc32(artifact[64:]):08x}"
        self.assertEqual(zlib.crc32(artifact[64:]), int.from_bytes(artifact[32:36], "little"))

    def test_the_artifact_is_named_on_the_pages_and_in_the_log(self):
        nginx = self.nginx(self.hosts({}, {}), first=f"evenkeel {ARTIFACT};").start()
        artifact = nginx.upstream()["artifact"]
        self.assertEqual((artifact["name"], artifact["checksum"]), ("evenkeel", self.checksum))
        self.assertRegex(artifact["made_by"], r"^evenkeel train \d")
        self.assertTrue(artifact["trained_on"], artifact)
        self.assertEqual(artifact["path"], ARTIFACT)
        labels = f'name="evenkeel",version="",made_by="{artifact["made_by"]}",date="",checksum="{self.checksum}"'
        self.assertRegex(nginx.get("/status")[1], rf'(?m)^evenkeel_artifact_info{{upstream="\w+",{re.escape(labels)}}} 1$')
        self.assertIn(f"checksum {self.checksum}", nginx.errors())

    def test_every_number_says_what_it_is(self):
        nginx = self.nginx(self.hosts({}, {}), first=f"evenkeel {ARTIFACT};").start()
        text = nginx.get("/status")[1]
        helped = set(re.findall(r"^# HELP (\w+) \S.*$", text, re.M))
        typed = set(re.findall(r"^# TYPE (\w+) (?:counter|gauge|histogram)$", text, re.M))
        shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"^(\w+)\{", text, re.M)}
        self.assertEqual(helped, typed)
        self.assertLessEqual(shown, helped)

    def test_the_shadow_counts_how_often_it_agrees(self):
        nginx = self.nginx(self.hosts({}, {}, {}), first=f"evenkeel {ARTIFACT} mode=shadow;").start()
        nginx.load(60)
        shadow = nginx.upstream()["shadow"]
        self.assertEqual(shadow["agreed"] + shadow["differed"], 60)
        self.assertGreater(shadow["differed"], 0, "the round robin knows nothing of the policy")


if __name__ == "__main__":
    unittest.main(verbosity=2)
