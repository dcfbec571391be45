"""Bodies of requests: the filter that reads them changes no answer."""

import hashlib
import http.client
import itertools
import socket
import time
import unittest

from case import Case
from facts import facts_of, key_of
from harness import request_filter

JSON = {"content-type": "application/json"}


def prompt(size):
    """An OpenAI-style body with a prompt of so many characters."""
    return b'{"model": "m", "prompt": "%s", "max_tokens": 7}' % (b"a" * size)


def pieces(body, size):
    return (body[at : at + size] for at in range(0, len(body), size))


class Bodies(Case):
    def test_no_buffer_limit_changes_an_answer(self):
        """Envoy's advice for edge proxies is 32 KiB; less than a read of a socket is legal, too."""
        [host] = self.hosts({})
        for limit in (1, 1024, 32768, None):
            listener = {} if limit is None else {"per_connection_buffer_limit_bytes": limit}
            envoy = self.envoy([host], filters=[request_filter({})], listener=listener).start()
            for size, chunked in itertools.product((10, 1000, 40_000, 400_000), (False, True)):
                with self.subTest(limit=limit, size=size, chunked=chunked):
                    body = prompt(size)
                    status, _ = envoy.get(headers=JSON, body=pieces(body, 3000) if chunked else body)
                    self.assertEqual(status, 200)
                    self.assertEqual(hashlib.sha256(host.bodies[-1]).digest(), hashlib.sha256(body).digest())
            self.assert_settled(envoy)
            envoy.stop()

    def test_a_prompt_beyond_the_buffer_limit_is_measured_by_its_length(self):
        [host] = self.hosts({})
        envoy = self.envoy([host], filters=[request_filter({})],
                           listener={"per_connection_buffer_limit_bytes": 4096}).start()
        self.assertEqual(envoy.get(headers=JSON, body=prompt(400_000))[0], 200)
        facts = facts_of(host.requests[-1])
        self.assertAlmostEqual(facts["prompt_tokens"], 100_000, delta=1000)
        self.assertEqual(facts["class"], key_of("m"))

    def test_a_client_that_waits_for_an_answer_before_its_body_gets_one(self):
        """One that waits for 100, and one that reads while it writes."""
        [host] = self.hosts({"answers_early": True, "status": 401})
        envoy = self.envoy([host], filters=[request_filter({})], manager={"proxy_100_continue": True}).start()
        head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        for rest in (
            b"expect: 100-continue\r\ncontent-length: 1000\r\n\r\n",
            b'transfer-encoding: chunked\r\n\r\n5\r\n{"pro\r\n',
        ):
            with self.subTest(rest), socket.create_connection(("127.0.0.1", envoy.port), timeout=5) as client:
                client.sendall(head + rest)
                self.assertTrue(client.recv(1 << 16).startswith(b"HTTP/1.1 401"))
        self.assert_settled(envoy)

    def test_a_body_that_comes_slowly_is_read_as_a_whole(self):
        [host] = self.hosts({})
        envoy = self.envoy([host], filters=[request_filter({})]).start()
        connection = http.client.HTTPConnection("127.0.0.1", envoy.port, timeout=10)
        self.addCleanup(connection.close)
        connection.putrequest("POST", "/")
        for name, value in {**JSON, "content-length": str(len(prompt(400)))}.items():
            connection.putheader(name, value)
        connection.endheaders()
        for piece in pieces(prompt(400), 100):
            connection.send(piece)
            time.sleep(0.02)
        self.assertEqual(connection.getresponse().status, 200)
        facts = facts_of(host.requests[-1])
        self.assertEqual((facts["prompt_tokens"], facts["max_tokens"]), (100, 7))


if __name__ == "__main__":
    unittest.main()
