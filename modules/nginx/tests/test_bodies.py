"""What the bodies of requests and responses say, as OpenAI's interface, llama.cpp and others have them."""

import json
import time
import unittest

from case import Case
from harness import ARTIFACT
from rawhost import RawHost, sse
from waiting import PATIENCE

OK = b"HTTP/1.1 200 OK\r\n"


def event(content):
    return b"data: " + (content if isinstance(content, bytes) else json.dumps(content).encode()) + b"\n\n"


def delta(**members):
    return event({"choices": [{"index": 0, "delta": members}]})


ROLE = delta(role="assistant", content="")
TOKENS = [delta(content=word) for word in ("one", " two", " three")]
USAGE = {"prompt_tokens": 900, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 640}}
DONE = event(b"[DONE]")


def document(value, headers=b""):
    body = json.dumps(value).encode()
    return OK + b"Connection: close\r\nContent-Type: application/json\r\n" + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Bodies(Case):
    def answered(self, *parts, body=None, wait_s=0.0, first="", location="", headers=None):
        """The access log's line, and the response, of a request that is answered with these parts."""

        def answer(connection):
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(65536)
            head, _, rest = received.partition(b"\r\n\r\n")
            length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
            while len(rest) < length:
                rest += connection.recv(65536)
            for part in parts:
                connection.sendall(part)
                time.sleep(wait_s)

        host = RawHost(answer)
        self.addCleanup(host.stop)
        nginx = self.nginx([host], first=f"evenkeel {ARTIFACT}; {first}", location=location).start()
        status, text = nginx.get("/v1/chat/completions", body=body, headers=headers)
        self.assertEqual(status, 200)
        self.assert_settled(nginx)
        [line] = nginx.log()
        ends = nginx.upstream()["exchanges"]
        nginx.stop()
        return line, text, [end for end, count in ends.items() if count]

    def counts(self, line):
        return line["prompt_tokens"], line["output_tokens"], line["cached_tokens"]

    def test_tokens_that_responses_tell_of(self):
        timings = {"content": "x", "timings": {"cache_n": 5, "prompt_n": 3, "predicted_n": 11}}
        cases = {
            "a document's usage": ([document({"choices": [], "usage": USAGE})], ("900", "7", "640")),
            "a stream's usage": (sse(ROLE, *TOKENS, event({"choices": [], "usage": USAGE}), DONE), ("900", "7", "640")),
            "a stream's events": (sse(ROLE, *TOKENS, DONE), ("0", "3", "")),
            "llama.cpp's timings": ([document(timings)], ("8", "11", "5")),
            "nothing": ([document({"object": "list"})], ("0", "", "")),
            "no JSON": ([OK + b"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"], ("0", "", "")),
        }
        for location in ("proxy_buffering on;", "proxy_buffering off;"):
            for name, (parts, expected) in cases.items():
                with self.subTest(name, location=location):
                    line, _, ends = self.answered(*parts, location=location)
                    self.assertEqual(self.counts(line), expected)
                    self.assertEqual(ends, ["success"])

    def test_bodies_pass_unchanged_however_they_are_cut(self):
        events = [ROLE, *TOKENS * 20, event({"choices": [], "usage": USAGE}), DONE]
        whole = b"".join(events)
        for size in (1, 7, 1000):
            pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
            line, text, _ = self.answered(*sse(*pieces), location="proxy_buffering off;")
            self.assertEqual(text.encode(), whole)
            self.assertEqual(self.counts(line), ("900", "7", "640"))

    def test_the_first_token_is_the_first_content_and_not_the_role(self):
        wait_s = 0.4 * PATIENCE
        line, _, _ = self.answered(*sse(ROLE, TOKENS[0], DONE), wait_s=wait_s, location="proxy_buffering off;")
        self.assertGreater(float(line["first_token_time"]), 1.8 * wait_s)
        self.assertLess(float(line["first_token_time"]), 2.8 * wait_s)
        # A stream that is not understood has its first byte.
        line, _, _ = self.answered(*sse(event(b"a"), event(b"b")), wait_s=wait_s, location="proxy_buffering off;")
        self.assertLess(float(line["first_token_time"]), 1.8 * wait_s)

    def test_an_error_in_a_stream_is_a_failure(self):
        error = event({"error": {"message": "out of memory", "type": "internal_server_error", "code": 500}})
        for location in ("proxy_buffering on;", "proxy_buffering off;"):
            _, _, ends = self.answered(*sse(ROLE, TOKENS[0], error, DONE), location=location)
            self.assertEqual(ends, ["failure"])

    def test_prompts_of_requests(self):
        answer = document({"choices": []})
        text = {"messages": [{"role": "user", "content": "x" * 4000}], "padding": "y" * 4000}
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
        pictured = {"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 400}, image]}]}

        def prompt(body, **options):
            line, _, _ = self.answered(answer, body=json.dumps(body), **options)
            return int(line["prompt_tokens"])

        json_headers = {"Content-Type": "application/json"}
        self.assertAlmostEqual(prompt(text, headers=json_headers), 1000, delta=20)
        # In a temporary file, and as it comes.
        self.assertAlmostEqual(prompt(text, location="client_body_in_file_only on;"), 1000, delta=20)
        self.assertAlmostEqual(prompt(text, location="client_body_buffer_size 1k;"), 1000, delta=20)
        self.assertGreater(prompt(text, location="proxy_request_buffering off;"), 900)
        self.assertLess(prompt(pictured, location="client_max_body_size 8m;"), 3000)
        self.assertEqual(prompt({"prompt": list(range(500))}), 500)
        # A long one is taken to go on as it began.
        long = {"messages": [{"role": "user", "content": "x" * 400_000}]}
        self.assertAlmostEqual(prompt(long, location="client_max_body_size 8m;"), 100_000, delta=3000)
        # Turned off, or of another type, the length stands for it.
        size = len(json.dumps(text)) // 4
        self.assertEqual(prompt(text, first="evenkeel_bodies off;"), size)
        self.assertEqual(prompt(text, headers={"Content-Type": "application/octet-stream"}), size)
        self.assertEqual(prompt({"a": 1}), len('{"a": 1}') // 4)
        # What is configured goes first.
        counted = {"first": "evenkeel_tokens $http_x_tokens;", "headers": {"X-Tokens": "321"}}
        self.assertEqual(prompt(text, **counted), 321)

    def test_turned_off_nothing_is_told(self):
        stream = sse(ROLE, *TOKENS, event({"choices": [], "usage": USAGE}), DONE)
        line, _, _ = self.answered(*stream, first="evenkeel_bodies off;")
        self.assertEqual(self.counts(line), ("0", "", ""))

    def test_models_are_told_apart_by_the_length_of_their_answers(self):
        def answer(connection):
            received = b""
            while not received.endswith(b"}"):
                received += connection.recv(65536)
            tokens = 2000 if b"large" in received else 20
            connection.sendall(document({"usage": {"prompt_tokens": 9, "completion_tokens": tokens}}))

        host = RawHost(answer)
        self.addCleanup(host.stop)
        nginx = self.nginx([host]).start()
        for _ in range(10):
            for model in ("large", "small"):
                nginx.get(body=json.dumps({"model": model, "prompt": "x"}))
        nginx.get(body=json.dumps({"model": "large", "prompt": "x", "max_tokens": 100}))
        large, small, limited = nginx.log(21)[-3:]
        self.assertEqual([line["expected_tokens"] for line in (large, small, limited)], ["2000", "20", "100"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
