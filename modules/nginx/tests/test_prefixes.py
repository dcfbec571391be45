"""Which hosts probably have a prompt cached: by the prefixes of its text, and by its session."""

import collections
import concurrent.futures
import json
import unittest

from again import again
from case import Case
from harness import ARTIFACT
from hosts import llm
from waiting import PATIENCE

# Two kilobytes that all conversations begin with.
SYSTEM = "You answer questions about the works of this library. ".ljust(2000, "s")
EXPECTED = "add_header X-Expected-Cached $evenkeel_expected_cached_tokens always;"
# Keys stand at the first 1024 bytes of the shared text, and not before 4096 bytes again.
SHARED_TOKENS = 256

Answer = collections.namedtuple("Answer", "status host cached")


def conversation(number, turns=1):
    """A conversation of its own behind the system prompt: 6 kB in each turn."""
    messages = [{"role": "system", "content": SYSTEM}]
    for turn in range(turns):
        if turn:
            messages.append({"role": "assistant", "content": "Yes."})
        messages.append({"role": "user", "content": f"{number} {turn} ".ljust(6000, "u")})
    return {"messages": messages}


class Prefixes(Case):
    def balanced(self, *hosts, directives="", **options):
        hosts = self.hosts(*hosts)
        nginx = self.nginx(hosts, first=f"evenkeel {ARTIFACT}; {directives}", location=EXPECTED, **options).start()
        return hosts, nginx

    def ask(self, nginx, body, headers=None):
        connection = nginx.connection()
        try:
            headers = {"Content-Type": "application/json", **(headers or {})}
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            response = connection.getresponse()
            host = response.read().decode()
            return Answer(response.status, host, int(response.getheader("X-Expected-Cached")))
        finally:
            connection.close()

    def ask_at_once(self, nginx, bodies, headers=None):
        with concurrent.futures.ThreadPoolExecutor(len(bodies)) as pool:
            return list(pool.map(lambda body: self.ask(nginx, body, headers), bodies))

    @again
    def test_a_shared_system_prompt_makes_no_conversation_look_cached(self):
        # As slow as a prompt of this length is, so that requests under way weigh something.
        hosts, nginx = self.balanced(*[llm(0.02, delay_s=0.5 * PATIENCE)] * 4)
        nginx.load(24, clients=8)
        self.ask_at_once(nginx, [conversation(n) for n in range(4)])
        answers = self.ask_at_once(nginx, [conversation(n) for n in range(10, 18)])
        self.assertEqual({answer.status for answer in answers}, {200})
        self.assertLessEqual(max(answer.cached for answer in answers), SHARED_TOKENS)
        by_host = collections.Counter(answer.host for answer in answers)
        self.assertGreaterEqual(len(by_host), len(hosts) - 1, by_host)
        self.assertLessEqual(max(by_host.values()), 4, by_host)

    def test_a_conversation_that_goes_on_finds_what_was_said(self):
        _, nginx = self.balanced(*[llm(0.02, delay_s=0.005)] * 4)
        backs = 0
        for n in range(6):
            first = self.ask(nginx, conversation(n))
            self.assertLessEqual(first.cached, SHARED_TOKENS)
            second = self.ask(nginx, conversation(n, turns=2))
            if second.host == first.host:
                backs += 1
                # All of the first turn: 8 kB at four bytes a token.
                self.assertAlmostEqual(second.cached, 2000, delta=40)
            else:
                self.assertLessEqual(second.cached, SHARED_TOKENS)
        # By chance it would be 1 or 2.
        self.assertGreaterEqual(backs, 4)

    def test_sessions_by_headers_by_the_directive_and_by_the_body(self):
        short = {"messages": [{"role": "user", "content": "x"}]}
        ways = {
            "X-Session-Affinity": ("", {"X-Session-Affinity": "s1"}, short),
            "X-Session-ID": ("", {"X-Session-ID": "s1"}, short),
            "both": ("", {"X-Session-Affinity": "s1", "X-Session-ID": "other"}, short),
            "directive": ("evenkeel_key $http_x_conversation;", {"X-Conversation": "s1", "X-Session-ID": "other"}, short),
            "body": ("evenkeel_key $http_x_conversation;", {}, {**short, "prompt_cache_key": "s1"}),
        }
        for name, (directive, headers, body) in ways.items():
            with self.subTest(name):
                _, nginx = self.balanced({}, directives=f"evenkeel_tokens $http_x_tokens; {directive}")
                first = self.ask(nginx, body, {"X-Tokens": "900", **headers})
                again = self.ask(nginx, body, {"X-Tokens": "1000", **headers})
                stranger = self.ask(nginx, {**body, "prompt_cache_key": "s2"}, {"X-Tokens": "1000"})
                self.assertEqual((first.cached, again.cached, stranger.cached), (0, 900, 0))
                nginx.stop()

    @again
    def test_a_session_goes_back_to_its_host_while_that_is_not_much_busier(self):
        hosts, nginx = self.balanced(*[llm(0.02, delay_s=0.005)] * 4, directives="evenkeel_tokens 8000;")
        short = {"messages": [{"role": "user", "content": "x"}]}
        stays = 0
        for n in range(6):
            headers = {"X-Session-ID": f"session-{n}"}
            first = self.ask(nginx, short, headers).host
            stays += sum(self.ask(nginx, short, headers).host == first for _ in range(5))
        # By chance it would be 7 or 8 of 30.
        self.assertGreater(stays, 20)
        # Its host has others' requests waiting, and says so with the next answer.
        headers = {"X-Session-ID": "session-0"}
        first = self.ask(nginx, short, headers).host
        busy = next(host for host in hosts if host.address == first)
        metrics = {"num_requests_running": 64, "num_requests_waiting": 64, "kv_cache_usage_perc": 0.97}
        told = "".join(f", named_metrics.{name}={value}" for name, value in metrics.items())
        busy.headers["endpoint-load-metrics"] += told
        answers = [self.ask(nginx, short, headers).host for _ in range(12)]
        self.assertLessEqual(answers.count(first), 6, answers)

    def test_a_request_that_failed_leaves_nothing(self):
        hosts, nginx = self.balanced(*[{"status": 500}] * 2)
        for _ in range(4):
            answer = self.ask(nginx, conversation(1), {"X-Session-ID": "s"})
            self.assertEqual((answer.status, answer.cached), (500, 0))
        # Nor does one that was refused, or answered with nothing done.
        for host in hosts:
            host.status = 404
        for _ in range(4):
            self.assertEqual(self.ask(nginx, conversation(1), {"X-Session-ID": "s"}).cached, 0)
        for host in hosts:
            host.status = 200
        answers = [self.ask(nginx, conversation(1), {"X-Session-ID": "s"}).cached for _ in range(6)]
        self.assertEqual(answers[0], 0)
        self.assertGreater(answers[-1], 1900)


if __name__ == "__main__":
    unittest.main(verbosity=2)
