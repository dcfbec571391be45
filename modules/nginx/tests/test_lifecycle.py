"""Workers and configurations that come and go: what a reload, a kill or another build may change."""

import collections
import http.client
import os
import signal
import socket
import struct
import time
import unittest
import zlib

from again import again
from case import Case
from free_port import free_port
from harness import ARTIFACT
from load import answered
from rawhost import RawHost, sse
from waiting import PATIENCE, until

# The same module, built with other structures (xtask builds it).
OTHER_MODULE = os.environ.get("EVENKEEL_NGINX_OTHER_MODULE")


def held(nginx, count=1):
    """Clients with a response under way that does not end."""
    clients = []
    for _ in range(count):
        client = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=60)
        client.request("GET", "/held")
        clients.append(client)
    return clients


class Lifecycle(Case):
    def held_host(self):
        """A host that answers everything at once but `/held`, which it holds until the client leaves."""

        def answer(connection):
            while True:
                received = b""
                while b"\r\n\r\n" not in received:
                    more = connection.recv(4096)
                    if not more:
                        return
                    received += more
                if b"/held" in received:
                    connection.settimeout(120)
                    connection.sendall(b"".join(sse(b"data: x\n\n", whole=False)))
                    connection.recv(1)
                    return
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")

        host = RawHost(answer)
        self.addCleanup(host.stop)
        return host

    def in_flight(self, nginx):
        return sum(host["in_flight"] for host in nginx.status()[0].values())

    def hold(self, nginx, count):
        before = self.in_flight(nginx)
        clients = held(nginx, count)
        for client in clients:
            self.addCleanup(client.close)
        until(lambda: self.in_flight(nginx) == before + count, "the requests do not arrive")
        return clients


class FailedReloads(Lifecycle):
    def test_a_configuration_that_fails_after_our_directives_changes_nothing(self):
        hosts = self.hosts({}, {})
        scale = "evenkeel_scale capacity=0.1;"
        nginx = self.nginx(hosts, first=f"evenkeel {ARTIFACT}; {scale}", workers=2).start()
        time.sleep(1.2)
        nginx.load(200)
        until(lambda: nginx.upstream()["present_per_s"] > 1, "no demand")
        before = nginx.upstream()
        # An address that somebody else listens on is found out last, when the zones are made.
        taken = socket.create_server(("127.0.0.1", free_port()))
        self.addCleanup(taken.close)
        added = free_port()
        nginx.http = f"server {{ listen 127.0.0.1:{taken.getsockname()[1]}; }}"
        nginx.write(f"evenkeel other.ekm; server {hosts[0].address} weight=9; server 127.0.0.1:{added};")
        self.write_other_step(f"{nginx.folder}/other.ekm")
        workers = set(nginx.worker_pids())
        mark = len(nginx.errors())
        nginx.process.send_signal(signal.SIGHUP)
        until(lambda: "still could not bind" in nginx.errors()[mark:], nginx.errors()[mark:], seconds=20)
        after = nginx.upstream()
        self.assertEqual(set(nginx.worker_pids()), workers)
        self.assertGreater(after["present_per_s"], before["present_per_s"] / 3)
        self.assertEqual(
            [(host["host"], host["weight"], host["sent_total"]) for host in after["hosts"]],
            [(host["host"], host["weight"], host["sent_total"]) for host in before["hosts"]],
        )
        self.assertEqual(sum(answered(nginx.load(20)).values()), 20)
        # Without that server the same configuration is taken. The present demand is what it was.
        nginx.http = ""
        nginx.write(f"evenkeel other.ekm; server {hosts[0].address} weight=9;")
        self.assertNotIn("[emerg]", nginx.reload())
        until(lambda: len(nginx.worker_pids()) == 2, "the old workers stay")
        self.assertEqual([host["weight"] for host in nginx.upstream()["hosts"]], [9])
        self.assertGreater(nginx.upstream()["present_per_s"], before["present_per_s"] / 3)

    def write_other_step(self, path):
        """The artifact with twice the step of its forecasts, to which the demand so far means nothing."""
        with open(ARTIFACT, "rb") as file:
            artifact = bytearray(file.read())
        entries = [struct.unpack_from("<IIQQ", artifact, 64 + 24 * n) for n in range(artifact[12])]
        # The section of the forecast's calibration (runtime-min/src/artifact.rs): its kind, 0, then its step.
        [begin] = [begin for kind, _, begin, _ in entries if kind == 5]
        [step_s] = struct.unpack_from("<f", artifact, begin + 8)
        struct.pack_into("<f", artifact, begin + 8, 2 * step_s)
        struct.pack_into("<I", artifact, 32, zlib.crc32(artifact[64:]))
        with open(path, "wb") as file:
            file.write(artifact)

    def test_more_servers_than_the_zone_has_room_for_are_refused_before_anything_changes(self):
        [host] = self.hosts({})
        first = f"evenkeel {ARTIFACT} zone=llm:64k;"
        nginx = self.nginx([host], first=first).start()
        nginx.get()
        many = " ".join(f"server 127.0.0.{n}:{host.port} down;" for n in range(2, 250))
        nginx.write(f"{first} {many} server {host.address} weight=7;")
        self.assertRegex(nginx.reload(), r"\[emerg\].*finds no place in zone")
        status = nginx.status()[0]
        self.assertEqual(list(status), [host.address])
        self.assertEqual((status[host.address]["weight"], status[host.address]["sent_total"]), (1, 1))


class Workers(Lifecycle):
    def test_a_killed_worker_that_was_to_exit_leaves_nothing_under_way(self):
        host, other = self.held_host(), self.held_host()
        nginx = self.nginx([host, other]).start()
        self.hold(nginx, 40)
        [old] = nginx.worker_pids()
        nginx.reload()
        until(lambda: set(nginx.worker_pids()) - {old}, "no new worker")
        time.sleep(1.2 * PATIENCE)
        self.assertEqual(self.in_flight(nginx), 40)
        os.kill(old, signal.SIGKILL)
        killed = time.monotonic()
        until(lambda: self.in_flight(nginx) == 0, "its requests stay under way")
        self.assertLess(time.monotonic() - killed, 1.5 * PATIENCE)
        self.assertEqual(nginx.upstream()["taken_back"], 40)
        self.assertEqual(sum(count for (status, _), count in nginx.load(100).items() if status == 200), 100)
        self.assertEqual(self.in_flight(nginx), 0)

    def test_a_stopped_worker_keeps_its_requests(self):
        host = self.held_host()
        nginx = self.nginx([host]).start()
        self.hold(nginx, 3)
        [old] = nginx.worker_pids()
        nginx.reload()
        until(lambda: set(nginx.worker_pids()) - {old}, "no new worker")
        os.kill(old, signal.SIGSTOP)
        try:
            time.sleep(1.5 * PATIENCE)
            self.assertEqual(self.in_flight(nginx), 3)
        finally:
            os.kill(old, signal.SIGCONT)

    @again
    def test_a_worker_without_a_row_shares_requests_out_by_the_counts_of_nginx(self):
        hosts = [self.held_host() for _ in range(3)]
        nginx = self.nginx(hosts).start()
        # A zone of one worker has rows for twenty. A request may still reach the worker before.
        clients = []
        for _ in range(60):
            if nginx.upstream()["workers_without_row"]:
                break
            clients += self.hold(nginx, 1)
            pids = set(nginx.worker_pids())
            self.assertNotIn("[emerg]", nginx.reload())
            until(lambda: set(nginx.worker_pids()) - pids, "no new worker")
            time.sleep(0.1 * PATIENCE)
        self.assertEqual(nginx.upstream()["workers_without_row"], 1)
        self.assertIn("all taken by workers of former configurations", nginx.errors())
        answers = nginx.load(90)
        self.assertEqual({status for status, _ in answers}, {200})
        lines = nginx.log(90)
        shares = collections.Counter(line["upstream_addr"] for line in lines)
        self.assertGreater(min(shares[host.address] for host in hosts), 15, shares)
        # The worker before may still take a connection that came while it was told to go.
        rowless = nginx.upstream()["fallbacks"]["no_row"]
        self.assertGreaterEqual(rowless, 75)
        self.assertEqual([line["reason"] for line in lines].count("least_conn"), rowless)
        # Old ones end, and a row is taken.
        for client in clients[:3]:
            client.close()
        until(lambda: nginx.upstream()["workers_without_row"] == 0, "the free row is not taken")
        nginx.load(20)
        self.assertEqual(nginx.upstream()["fallbacks"]["no_row"], rowless)


@unittest.skipUnless(OTHER_MODULE, "EVENKEEL_NGINX_OTHER_MODULE names no other build")
class OtherBuilds(Lifecycle):
    def test_another_build_of_the_module_takes_over_and_gives_back(self):
        hosts = [self.held_host() for _ in range(2)]
        nginx = self.nginx(hosts).start()
        nginx.load(30)
        self.hold(nginx, 4)
        sent = {name: host["sent_total"] for name, host in nginx.status()[0].items()}
        master = nginx.process.pid
        for module in (OTHER_MODULE, None):
            pids = set(nginx.worker_pids())
            nginx.write_module(module)
            self.assertNotIn("[emerg]", nginx.reload())
            until(lambda: set(nginx.worker_pids()) - pids, "no new worker")
            self.assertIsNone(nginx.process.poll(), nginx.errors())
            self.assertEqual(nginx.process.pid, master)
            # What was known of the hosts is known still.
            self.assertEqual({name: host["sent_total"] for name, host in nginx.status()[0].items()}, sent)
            self.assertEqual(self.in_flight(nginx), 4)
            self.assertEqual(sum(1 for _ in range(10) if nginx.get()[0] == 200), 10)
            sent = {name: host["sent_total"] for name, host in nginx.status()[0].items()}
        self.assertNotIn("exited on signal", nginx.errors())


if __name__ == "__main__":
    unittest.main(verbosity=2)
