"""Tests of evenkeel-scale: python3 -m unittest discover deploy/vm"""

import http.server
import importlib.machinery
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest

PROGRAM = pathlib.Path(__file__).with_name("evenkeel-scale")
loader = importlib.machinery.SourceFileLoader("evenkeel_scale", str(PROGRAM))
module = importlib.util.module_from_spec(importlib.util.spec_from_loader("evenkeel_scale", loader))
sys.dont_write_bytecode = True
loader.exec_module(module)


class Proxy(http.server.BaseHTTPRequestHandler):
    demands = {}

    def do_GET(self):
        demand = self.demands.get(self.path)
        self.send_response(200 if demand is not None else 503)
        self.end_headers()
        self.wfile.write(json.dumps({"llm": {"demand": demand}}).encode())

    def log_message(self, *_):
        pass


class Rule(unittest.TestCase):
    def test_shares_add_up_before_they_are_rounded(self):
        self.assertEqual(module.Scaler(1, 64, 0).wanted([3.2, 2.9], 0), 7)
        self.assertEqual(module.Scaler(1, 64, 0).wanted([0.2, 0.2], 0), 1)

    def test_up_at_once_and_down_after_the_window(self):
        scaler = module.Scaler(1, 10, 300)
        wanted = [scaler.wanted([demand], now_s) for now_s, demand in [(0, 4.0), (15, 8.0), (30, 2.0), (316, 2.0), (9e9, 99.0)]]
        self.assertEqual(wanted, [4, 8, 8, 2, 10])

    def test_nothing_is_taken_away_while_a_proxy_is_silent(self):
        scaler = module.Scaler(1, 64, 0)
        self.assertIsNone(scaler.wanted([None, None], 0))
        self.assertEqual(scaler.wanted([5.0, 4.0], 1), 9)
        self.assertEqual(scaler.wanted([5.0, None], 2), 9)
        self.assertEqual(scaler.wanted([11.0, None], 3), 11)
        self.assertEqual(scaler.wanted([None, None], 4), 11)
        self.assertEqual(scaler.wanted([2.0, 1.0], 5), 3)


    def test_there_may_be_none_where_nothing_is_foreseen(self):
        scaler = module.Scaler(0, 64, 0)
        self.assertEqual([scaler.wanted([demand], now_s) for now_s, demand in enumerate([0.0, 0.004, 0.02])], [0, 0, 1])
        self.assertEqual(module.Scaler(1, 64, 0).wanted([0.0], 0), 1)


class Money(unittest.TestCase):
    MIDNIGHT = 20_000 * module.DAY_S

    def spend(self, budget, replicas, from_h, to_h):
        """Runs as many as are wanted and may be, quarter of an hour by quarter of an hour."""
        ran, hours = [], 0.0
        for quarter in range(int(4 * from_h), int(4 * to_h)):
            ran.append(min(replicas, budget.most(ran[-1] if ran else 0, self.MIDNIGHT + 900 * quarter)))
            hours += ran[-1] / 4
        budget.most(ran[-1], self.MIDNIGHT + 3600 * to_h)
        return ran, hours

    def test_a_day_costs_no_more_than_its_budget(self):
        budget = module.Budget(240, self.MIDNIGHT)
        ran, hours = self.spend(budget, 50, 0, 24)
        self.assertLessEqual(hours, 240)
        self.assertGreater(hours, 230)
        self.assertEqual(max(ran), 10)

    def test_quiet_hours_save_for_busy_ones(self):
        budget = module.Budget(240, self.MIDNIGHT)
        _, quiet = self.spend(budget, 2, 0, 18)
        ran, busy = self.spend(budget, 100, 18, 24)
        self.assertEqual(ran[0], (240 - 36) // 6)
        self.assertLessEqual(quiet + busy, 240)

    def test_a_day_begins_anew_and_a_late_start_has_its_share(self):
        budget = module.Budget(240, self.MIDNIGHT + 18 * 3600)
        self.assertEqual(budget.most(0, self.MIDNIGHT + 18 * 3600), 10)
        self.assertEqual(budget.most(40, self.MIDNIGHT + 19 * 3600), (60 - 40) // 5)
        self.assertEqual(budget.most(4, self.MIDNIGHT + module.DAY_S), 10)
        self.assertEqual(budget.most(10, self.MIDNIGHT + module.DAY_S - 60), 10, "a clock that is set back")


class Program(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        base = f"http://127.0.0.1:{self.server.server_port}"
        self.urls = [f"--url={base}/{name}/scale" for name in ("a", "b")]

    def test_it_runs_the_command_when_the_number_changes(self):
        Proxy.demands = {"/a/scale": 3.2, "/b/scale": 2.9}
        with tempfile.TemporaryDirectory() as folder:
            seen = pathlib.Path(folder, "seen")
            command = ["sh", "-c", f'echo "$1" >> {seen}', "set-replicas"]
            options = ["--service=llm", "--max=64", "--every-s=0.05", "--down-window-s=0", *self.urls]
            process = subprocess.Popen([sys.executable, PROGRAM, *options, "--", *command])
            try:
                self.wait_for(seen, "7\n")
                Proxy.demands = {"/a/scale": 1.0, "/b/scale": 1.0}
                self.wait_for(seen, "7\n2\n")
            finally:
                process.kill()
                process.wait()

    def test_the_budget_goes_before_demand_and_the_least_before_the_budget(self):
        Proxy.demands = {"/a/scale": 30.0, "/b/scale": 30.0}
        with tempfile.TemporaryDirectory() as folder:
            seen = pathlib.Path(folder, "seen")
            command = ["sh", "-c", f'echo "$1" >> {seen}', "set-replicas"]
            options = ["--service=llm", "--min=2", "--max=64", "--budget-hours=0", "--every-s=0.05", *self.urls]
            process = subprocess.Popen([sys.executable, PROGRAM, *options, "--", *command], stderr=subprocess.PIPE)
            try:
                self.wait_for(seen, "2\n")
            finally:
                process.kill()
                _, complaints = process.communicate()
            self.assertIn(b"60 replicas wanted, 0 within the budget", complaints)

    def wait_for(self, path, text):
        end_s = time.monotonic() + 20
        while time.monotonic() < end_s:
            if path.exists() and path.read_text() == text:
                return
            time.sleep(0.02)
        self.fail(f"expected {text!r}, found {path.read_text() if path.exists() else None!r}")

    def test_hopeless_arguments_are_refused(self):
        command = ["--", "true"]
        wrongs = [["--min=5", "--max=4", *command], ["--max=4", "--every-s=0", *command], ["--max=4"]]
        for wrong in [*wrongs, ["--max=4", "--budget-hours=-1", *command]]:
            result = subprocess.run(
                [sys.executable, PROGRAM, "--service=llm", *self.urls, *wrong], capture_output=True, check=False
            )
            self.assertEqual(result.returncode, 2, result.stderr)

    def test_once_prints_the_number_or_that_it_is_not_known(self):
        run = lambda: subprocess.run(
            [sys.executable, PROGRAM, "--once", "--service=llm", "--max=64", *self.urls],
            capture_output=True, text=True, check=False,
        )
        Proxy.demands = {"/a/scale": 3.2, "/b/scale": 2.9}
        self.assertEqual(run().stdout, "7\n")
        Proxy.demands = {}
        result = run()
        self.assertEqual((result.stdout, result.returncode), ("unknown\n", 1))
        self.assertIn("no demand of llm", result.stderr)


if __name__ == "__main__":
    unittest.main()
