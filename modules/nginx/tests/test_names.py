"""Servers that NGINX knows by name, and that come and go while it runs."""

import collections
import socket
import struct
import threading
import unittest

from case import Case
from free_port import free_port
from harness import ARTIFACT, version
from hosts import Host, llm
from load import answered
from waiting import until


# NGINX resolves names of servers at run time since that version.
KNOWS_NAMES = version() >= (1, 27, 3)


class NameServer:
    """Answers every question for an address with the same ones, good for a second."""

    def __init__(self, addresses=()):
        self.addresses = list(addresses)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.asked = 0
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            question, client = self.socket.recvfrom(512)
            if not question:
                return
            self.asked += 1
            self.socket.sendto(self.answer(question), client)

    def answer(self, question):
        """A DNS message (RFC 1035): the header, the question as it came, an A record for each address."""
        kind = struct.unpack("!H", question[-4:-2])[0]
        records = [
            b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 1, 4) + socket.inet_aton(address)
            for address in (self.addresses if kind == 1 else [])
        ]
        return question[:2] + struct.pack("!HHHHH", 0x8180, 1, len(records), 0, 0) + question[12:] + b"".join(records)

    def stop(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join(5)
        self.socket.close()


class Names(Case):
    def setup_names(self, *last_bytes, server="", **options):
        """Hosts of one port on several addresses, and an NGINX that asks a name server for them."""
        port = free_port()
        hosts = {}
        for byte in last_bytes:
            hosts[byte] = Host(**llm(0.02, delay_s=0.005), ip=f"127.0.0.{byte}", port=port)
        for host in hosts.values():
            self.addCleanup(host.stop)
        names = NameServer()
        self.addCleanup(names.stop)
        servers = [
            f"zone llm 256k; resolver 127.0.0.1:{names.port} ipv6=off;",
            f"server hosts.test:{port} resolve {server};",
        ]
        return hosts, names, self.nginx(servers, **options)

    @unittest.skipIf(KNOWS_NAMES, "this NGINX resolves names at run time")
    def test_an_older_nginx_refuses_names_to_resolve(self):
        _, _, nginx = self.setup_names(11)
        accepted, said = nginx.test()
        self.assertFalse(accepted)
        self.assertRegex(said, r'\[emerg\].*(resolve|resolver)')

    def shared_by(self, nginx, *hosts):
        """All of these serve, after some time, and at no time any other one."""
        addresses = {host.address for host in hosts}
        until(lambda: set(nginx.status()[0]) == addresses, f"not the servers: {nginx.errors()[-500:]}")
        served = collections.Counter()

        def all_serve():
            by_host = answered(nginx.load(40))
            self.assertEqual(sum(by_host.values()), 40)
            self.assertLessEqual(set(by_host), addresses)
            served.update(by_host)
            return set(served) == addresses

        until(all_serve, "a server serves nothing")

    @unittest.skipUnless(KNOWS_NAMES, "before 1.27.3")
    def test_servers_follow_the_name(self):
        hosts, names, nginx = self.setup_names(11, 12, 13, workers=2)
        names.addresses = ["127.0.0.11", "127.0.0.12"]
        nginx.start()
        self.shared_by(nginx, hosts[11], hosts[12])
        names.addresses = ["127.0.0.12", "127.0.0.13"]
        self.shared_by(nginx, hosts[12], hosts[13])
        nginx.reload()
        until(lambda: len(nginx.worker_pids()) == 2, "old workers stay")
        self.shared_by(nginx, hosts[12], hosts[13])
        self.assert_settled(nginx)
        status, decisions = nginx.status()
        # What was learned of a server outlives both the change and the reload.
        for host in (hosts[12], hosts[13]):
            self.assertEqual(status[host.address]["sent_total"], host.served)
        total = sum(host.served for host in hosts.values())
        self.assertEqual(decisions["policy"], total)
        self.assertLessEqual({line["host"] for line in nginx.log(total)}, {host.address for host in hosts.values()})

    @unittest.skipUnless(KNOWS_NAMES, "before 1.27.3")
    def test_servers_change_under_load_and_no_request_is_lost(self):
        _, names, nginx = self.setup_names(11, 12, 13, 14, workers=2, last="keepalive 16;", is_logged=False)
        names.addresses = ["127.0.0.11", "127.0.0.12"]
        nginx.start()
        until(lambda: nginx.status()[0], "the servers are not found")
        lost = []
        stop = threading.Event()

        def load():
            while not stop.is_set():
                answers = nginx.load(200)
                lost.extend(answer for answer in answers if answer[0] != 200)

        loading = threading.Thread(target=load)
        loading.start()
        try:
            for first in (12, 13, 11, 12):
                asked = names.asked
                names.addresses = [f"127.0.0.{first}", f"127.0.0.{first + 1}"]
                until(lambda: names.asked > asked, "the name is not asked for")
                stop.wait(0.3)
        finally:
            stop.set()
            loading.join()
        self.assertEqual(lost, [])
        until(lambda: len(nginx.status()[0]) == 2, "servers stay that are gone")
        self.assert_settled(nginx)

    @unittest.skipUnless(KNOWS_NAMES, "before 1.27.3")
    def test_names_of_backup_servers(self):
        [down] = self.hosts({})
        down.stop()
        hosts, names, nginx = self.setup_names(11, server="backup")
        names.addresses = ["127.0.0.11"]
        address = hosts[11].address
        nginx.write(
            f"evenkeel {ARTIFACT}; zone llm 256k; resolver 127.0.0.1:{names.port} ipv6=off;"
            f"server {down.address}; server hosts.test:{address.split(':')[1]} resolve backup;"
        )
        nginx.start()
        until(lambda: address in nginx.status()[0], "the backup server is not found")
        self.assertEqual(answered(nginx.load(20)), {address: 20})
        self.assertEqual(nginx.status()[0][address]["sent_total"], 20)
        self.assert_settled(nginx)


if __name__ == "__main__":
    unittest.main(verbosity=2)
