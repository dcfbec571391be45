"""What bodies say, of requests and of responses, and where users see it."""

import base64
import collections
import concurrent.futures
import gzip
import http.client
import json
import os
import socket
import unittest

from again import again
from case import Case
from facts import facts_of, key_of
from harness import module_filter, request_filter
from hosts import llm
from reading import FIELDS, ReadingCase

JSON = {"content-type": "application/json"}
STREAM = {"content-type": "text/event-stream"}


def text(tokens):
    """Text of about so many tokens, which no two calls of different length begin alike."""
    return f"{tokens:8}" + "word " * (tokens * 4 // 5 - 1)


def chat(*contents, **more):
    messages = [{"role": "user", "content": content} for content in contents]
    return json.dumps({"model": "m-8b", "messages": messages, **more})


def events(*documents, end="data: [DONE]\n\n"):
    return "".join(f"data: {json.dumps(document)}\n\n" for document in documents) + end


def delta(content):
    return {"choices": [{"index": 0, "delta": {"content": content}}]}


class Reading(ReadingCase):
    def test_what_a_request_says_whatever_its_form(self):
        [host] = self.hosts({})
        envoy = self.reading_envoy([host])
        tool = {"type": "function", "function": {"name": "f", "description": "d" * 4000}}
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(b"x" * 30_000).decode()}}
        long = "l" * 4000
        for body, tokens, limit, name in (
            ({"prompt": long, "max_tokens": 7}, 1000, 7, "completion"),
            ({"prompt": list(range(500))}, 500, 0, "token ids"),
            ({"messages": [{"role": "user", "content": "x"}], "tools": [tool], "max_completion_tokens": 9}, 1020, 9, "tools"),
            ({"messages": [{"role": "user", "content": [{"type": "text", "text": long}, image]}]}, 2300, 0, "image"),
            ({"system": long, "messages": [{"role": "user", "content": long}], "max_tokens": 5}, 2000, 5, "Anthropic"),
            ({"input": long, "instructions": long, "max_output_tokens": 3}, 2000, 3, "responses"),
            ({"prompt": long, "n_predict": 11}, 1000, 11, "llama.cpp"),
            ({"inputs": long, "parameters": {"max_new_tokens": 12}}, 1000, 12, "TGI"),
            ({"query": long, "documents": [long, long]}, 3000, 0, "rerank"),
        ):
            with self.subTest(name):
                self.assertEqual(envoy.get(headers=JSON, body=json.dumps({"model": "m", **body}))[0], 200)
                facts = facts_of(host.requests[-1])
                self.assertAlmostEqual(facts["prompt_tokens"], tokens, delta=0.02 * tokens + 2)
                self.assertEqual((facts["max_tokens"], facts["class"]), (limit, key_of("m")))

    def test_what_a_response_says_is_logged_and_learned_whatever_its_form(self):
        openai = {"prompt_tokens": 900, "completion_tokens": 321, "prompt_tokens_details": {"cached_tokens": 640}}
        anthropic = [
            {"type": "message_start", "message": {"usage": {"input_tokens": 50, "cache_read_input_tokens": 850, "output_tokens": 1}}},
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}},
            {"type": "message_delta", "usage": {"output_tokens": 15}},
            {"type": "message_stop"},
        ]
        [host] = self.hosts({})
        envoy = self.reading_envoy([host])
        for name, headers, body, expected in (
            ("OpenAI", JSON, json.dumps({"choices": [{"message": {"content": "a"}}], "usage": openai}), (900, 321, 640)),
            ("OpenAI-streamed", STREAM, events(delta(""), delta("a"), delta("b"), {"choices": [], "usage": openai}), (900, 321, 640)),
            ("OpenAI-counted", STREAM, events(delta(""), *[delta("a")] * 33), (100, 33, None)),
            ("Anthropic", STREAM, events(*anthropic, end=""), (900, 15, 850)),
            ("llama.cpp", JSON, json.dumps({"content": "a", "timings": {"cache_n": 30, "prompt_n": 70, "predicted_n": 44}}), (100, 44, 30)),
            ("no-tokens", {"content-type": "text/html"}, "<p>", (100, None, None)),
        ):
            with self.subTest(name):
                host.headers, host.body = headers, body
                before = len(self.logged(0))
                for _ in range(8):
                    self.assertEqual(envoy.get(headers=JSON, body=chat("a" * 400, model=name)), (200, body))
                for line in self.logged(before + 8)[before:]:
                    self.assertEqual(tuple(line[field] for field in FIELDS[:3]), expected, line)
                    self.assertGreater(line["first_token_ms"], 0, line)
                self.assert_settled(envoy)
                explained = json.loads(envoy.ask(f"/evenkeel/explain?class={name}")[1])
                self.assertEqual(explained["output_tokens"], expected[1])

    def test_the_first_token_is_not_a_role_and_not_a_comment(self):
        role = events({"choices": [{"delta": {"role": "assistant", "content": ""}}]}, end="")
        stream = [(0.05, b": ping\n\n" + role.encode()), (0.4, events(delta("a"), end="").encode()), (0.6, b"data: [DONE]\n\n")]
        [host] = self.hosts({"headers": STREAM, "stream": stream})
        for bodies, least_ms, most_ms in (("on", 390, 600), ("off", 40, 350)):
            with self.subTest(bodies=bodies):
                envoy = self.reading_envoy([host], response={"bodies": bodies})
                os.truncate(self.log, 0)
                self.assertEqual(envoy.get()[0], 200)
                [line] = self.logged(1)
                self.assertTrue(least_ms < line["first_token_ms"] < most_ms, line)
                self.assertEqual(line["output_tokens"], 1 if bodies == "on" else None)
                self.assert_settled(envoy)
                first_s = envoy.status()[0][host.address]["first_byte_s"]
                self.assertAlmostEqual(first_s, line["first_token_ms"] * 1e-3, delta=0.01)
                envoy.stop()

    def test_an_error_inside_of_a_body_is_a_failure(self):
        error = {"error": {"message": "out of memory", "code": 500}}
        [host] = self.hosts({})
        for bodies in (True, False):
            envoy = self.reading_envoy([host], response={"bodies": bodies})
            failed = 0
            for headers, body in ((STREAM, events(delta("a"), error)), (STREAM, events(error)), (JSON, json.dumps(error))):
                with self.subTest(body=body, bodies=bodies):
                    host.headers, host.body = headers, body
                    self.assertEqual([envoy.get()[0] for _ in range(2)], [200, 200])
                    self.assert_settled(envoy)
                    failed += 2 if bodies else 0
                    self.assertEqual(envoy.status()[0][host.address]["failed_total"], failed)
            envoy.stop()

    def test_compressed_bodies_are_left_alone(self):
        answer = gzip.compress(json.dumps({"usage": {"completion_tokens": 5}}).encode())
        prompt = gzip.compress(chat("a" * 400_000).encode())
        headers = {**JSON, "content-encoding": "gzip"}
        [host] = self.hosts({"headers": headers, "stream": [(0.0, answer)]})
        envoy = self.reading_envoy([host])
        connection = http.client.HTTPConnection("127.0.0.1", envoy.port, timeout=10)
        self.addCleanup(connection.close)
        connection.request("POST", "/", body=prompt, headers=headers)
        self.assertEqual(connection.getresponse().read(), answer)
        self.assertEqual(host.bodies[-1], prompt)
        self.assertIsNone(facts_of(host.requests[-1]))
        [line] = self.logged(1)
        self.assertEqual([line[field] for field in FIELDS[:3]], [None] * 3)
        self.assertGreater(line["first_token_ms"], 0)

    def test_bodies_off_reads_none(self):
        [host] = self.hosts({"headers": JSON, "body": json.dumps({"usage": {"completion_tokens": 5}})})
        envoy = self.reading_envoy([host], request={"bodies": False}, response={"bodies": False})
        self.assertEqual(envoy.get(headers={**JSON, "x-evenkeel-facts": "7-7-7-7-7-7-7-7-7-7"}, body=chat("a" * 400))[0], 200)
        self.assertIsNone(facts_of(host.requests[-1]))
        [line] = self.logged(1)
        self.assertEqual([line[field] for field in FIELDS[:3]], [None] * 3)
        self.assertGreater(line["first_token_ms"], 0)

    def test_headers_of_the_configuration_go_before_the_body(self):
        [host] = self.hosts({"delay_s": 0.0, "headers": {**JSON, "x-output-tokens": "77"}, "body": json.dumps({"usage": {"completion_tokens": 5}})})
        options = {"class": "x-adapter", "output_tokens": "x-output-tokens"}
        envoy = self.reading_envoy([host], options=options)
        for _ in range(8):
            self.assertEqual(envoy.get(headers={**JSON, "x-adapter": "a"}, body=chat("b"))[0], 200)
        self.assert_settled(envoy)
        expected = {name: json.loads(envoy.ask(f"/evenkeel/explain?class={name}")[1])["output_tokens"] for name in ("a", "m-8b")}
        self.assertEqual(expected, {"a": 77, "m-8b": None})

    def test_a_request_for_another_protocol_is_not_held_back(self):
        """Its body never ends, and may never begin."""
        [host] = self.hosts({"status": 101, "headers": {"connection": "upgrade", "upgrade": "websocket"}})
        envoy = self.reading_envoy([host], manager={"upgrade_configs": [{"upgrade_type": "websocket"}]})
        for kind in (b"", b"Content-Type: application/json\r\n"):
            with self.subTest(kind), socket.create_connection(("127.0.0.1", envoy.port), timeout=10) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" + kind + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n")
                self.assertTrue(client.recv(1 << 16).startswith(b"HTTP/1.1 101"))
        self.assert_settled(envoy)


class Prefixes(Case):
    @again
    def test_conversations_stay_where_they_are_and_not_where_their_system_prompt_is(self):
        hosts = self.hosts(*[llm(0.02, delay_s=0.1)] * 4)
        envoy = self.envoy(hosts, filters=[request_filter({})]).start()
        envoy.load(40)
        system = text(1200)

        def converse(number):
            turns, served = [f"{number} " + text(6000)], []
            for turn in range(5):
                status, host = envoy.get(headers=JSON, body=chat(system, *turns))
                self.assertEqual(status, 200)
                served.append(host)
                turns.append(text(300 + turn))
            return collections.Counter(served).most_common(1)[0]

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            homes = list(pool.map(converse, range(8)))
        self.assertGreaterEqual(sum(count for _, count in homes), 32, homes)
        self.assertGreater(len({host for host, _ in homes}), 1, homes)

    @again
    def test_a_session_is_named_by_a_header_or_in_the_body(self):
        hosts = self.hosts(*[llm(0.02)] * 4)
        envoy = self.envoy(hosts, filters=[request_filter({})]).start()
        envoy.load(100)
        prompts = [f"{n} " + text(5000) for n in range(12)]
        for name, headers, more in (
            ("the first header", {"x-session-affinity": "a", "x-session-id": "?"}, {}),
            ("the second", {"x-session-id": "b"}, {}),
            ("OpenAI's user", {}, {"user": "c"}),
            ("its cache key", {}, {"prompt_cache_key": "d", "user": "?"}),
        ):
            with self.subTest(name):
                # Prompts that have nothing in common but their session.
                bodies = [chat(prompt, **more) for prompt in prompts]
                counts = collections.Counter(envoy.get(headers={**JSON, **headers}, body=body)[1] for body in bodies)
                self.assertGreaterEqual(max(counts.values()), 9, counts)


class Grpc(Case):
    def test_failures_of_the_hosts_own_making_are_told_from_the_clients(self):
        [host] = self.hosts({})
        envoy = self.envoy([host], upstream_filters=[module_filter("response", {})]).start()
        failed = 0
        for grpc_status in (*map(str, range(1, 17)), "99", "x", "0"):
            with self.subTest(grpc_status):
                host.headers = {"content-type": "application/grpc", "grpc-status": grpc_status}
                self.assertEqual(envoy.get()[0], 200)
                self.assert_settled(envoy)
                failed += grpc_status in ("2", "4", "8", "13", "14", "15")
                seen = envoy.status()[0][host.address]
                self.assertEqual(seen["failed_total"], failed)
                self.assertEqual(seen["latency_s"] is not None, grpc_status == "0")


if __name__ == "__main__":
    unittest.main()
