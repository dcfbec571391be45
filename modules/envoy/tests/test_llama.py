"""llama.cpp's own server behind Envoy: tokens as clients count them, and failures."""

import http.client
import json
import unittest

import llama
from reading import ReadingCase
from waiting import until


@unittest.skipUnless(llama.SERVER and llama.MODELS, "llama.cpp's server is not at hand")
class Llama(llama.Servers, ReadingCase):
    def test_tokens_are_those_that_clients_count(self):
        envoy = self.reading_envoy(self.servers("fast"))
        expected = []
        for seed, name in enumerate(llama.FORMS):
            # The second time, the prompt is cached.
            for _ in range(2):
                found = self.send(envoy, name, seed)
                expected.append((name, found["prompt"], found["output"], found["cached"]))
        lines = self.logged(len(expected))
        logged = [
            (name, line["prompt_tokens"], line["output_tokens"], line["cached_tokens"])
            for (name, *_), line in zip(expected, lines)
        ]
        self.assertEqual(logged, expected)
        self.assertTrue(all(line["first_token_ms"] > 0 for line in lines), lines)
        self.assert_settled(envoy)

    def test_a_client_that_leaves_and_a_server_that_is_killed(self):
        fast, slow = self.servers("fast", "slow")
        envoy = self.reading_envoy([fast, slow])
        path, body = llama.FORMS["streamed completion"]

        def begin(seed):
            connection = http.client.HTTPConnection("127.0.0.1", envoy.port, timeout=30)
            connection.request("POST", path, json.dumps(body(llama.prompt(20, seed), 4000)), {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read1(100)
            return connection, response

        connection, _ = begin(1)
        connection.close()
        self.assert_settled(envoy)
        self.assertEqual([host["failed_total"] for host in envoy.status()[0].values()], [0, 0])

        connection, response = begin(2)
        [busy] = [host for host, status in envoy.status()[0].items() if status["in_flight"]]
        {fast.address: fast, slow.address: slow}[busy].stop()
        with self.assertRaises((http.client.HTTPException, OSError)):
            response.read()
            raise http.client.HTTPException  # an end without a last chunk is one, too
        connection.close()
        until(lambda: envoy.status()[0][busy]["failed_total"] == 1, "the broken stream is not seen")


if __name__ == "__main__":
    unittest.main()
