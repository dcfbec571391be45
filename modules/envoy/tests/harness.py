"""A real Envoy with the module, in a folder of its own, all on the loopback."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile

from free_port import free_port
from proxy import Proxy
from waiting import until

MODULE = os.environ["EVENKEEL_ENVOY_MODULE"]
ARTIFACT = os.environ["EVENKEEL_ARTIFACT"]
# Paths by version, the newest last: "1.39=/path,1.40=/path".
ENVOYS = dict(pair.split("=", 1) for pair in os.environ["EVENKEEL_ENVOYS"].split(","))
ENVOY = list(ENVOYS.values())[-1]

_MODULE = {"name": "evenkeel_envoy", "do_not_close": True}


def _any(kind, **fields):
    return {"@type": f"type.googleapis.com/{kind}", **fields}


def struct_of(value):
    return _any("google.protobuf.Struct", value=value)


# As docs/envoy.md recommends: every attempt at another host.
RETRIES = {
    "retry_policy": {
        "retry_on": "5xx,reset,connect-failure",
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.005s"},
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/"
                    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": 5,
    }
}


def policy(options):
    """The load-balancing policy with these options; None for Envoy's own."""
    return {
        "policies": [
            {
                "typed_extension_config": {
                    "name": "envoy.load_balancing_policies.dynamic_modules",
                    "typed_config": _any(
                        "envoy.extensions.load_balancing_policies.dynamic_modules.v3.DynamicModulesLoadBalancerConfig",
                        dynamic_module_config=_MODULE,
                        lb_policy_name="evenkeel",
                        lb_policy_config=struct_of(options),
                    ),
                }
            }
        ]
    }


def built_in(name):
    """One of Envoy's own policies: round_robin, least_request."""
    kind = "".join(word.capitalize() for word in name.split("_"))
    return {
        "policies": [
            {
                "typed_extension_config": {
                    "name": f"envoy.load_balancing_policies.{name}",
                    "typed_config": _any(f"envoy.extensions.load_balancing_policies.{name}.v3.{kind}"),
                }
            }
        ]
    }


def module_filter(name, options):
    """An HTTP filter of the module."""
    return {
        "name": f"evenkeel.{name}",
        "typed_config": _any(
            "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
            dynamic_module_config=_MODULE,
            filter_name=name,
            filter_config=struct_of(options),
        ),
    }


def request_filter(options):
    return module_filter("request", options)


class Envoy(Proxy):
    """One Envoy in front of hosts that come from a file, which can be changed."""

    def __init__(self, hosts, options=None, workers=1, log=True, lb_policy=None, cluster=None, route=None, version=None,
                 filters=(), upstream_filters=(), router=None, by_cds=False, listener=None, manager=None):
        self.folder = tempfile.mkdtemp(prefix="evenkeel-envoy-")
        self.port, self.admin = free_port(), free_port()
        self.workers, self.version = workers, version or ENVOY
        self.process = None
        os.mkdir(f"{self.folder}/modules")
        shutil.copy(MODULE, f"{self.folder}/modules/libevenkeel_envoy.so")
        self.options = {"artifact": ARTIFACT} if options is None else options
        self.lb_policy = lb_policy or policy(self.options)
        self.log, self.cluster, self.route = log, cluster or {}, route or {}
        self.filters, self.upstream_filters = list(filters), list(upstream_filters)
        self.router, self.by_cds = router or {}, by_cds
        self.listener, self.manager = listener or {}, manager or {}
        self.set_hosts(hosts)
        if by_cds:
            self.set_cluster()
        self.write(f"{self.folder}/envoy.json", self.configuration())

    @staticmethod
    def write(path, value):
        """Renamed into place, as Envoy wants its files to be changed."""
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(value, file)
        os.rename(f"{path}.new", path)

    def set_hosts(self, hosts):
        """Hosts, or (host, fields of its LbEndpoint); in a list, or lists by priority."""
        priorities = hosts if hosts and isinstance(hosts[0], list) else [hosts]
        endpoints = [
            {"priority": priority, "locality": {"zone": f"zone-{priority}"}, "lb_endpoints": [_endpoint(h) for h in of]}
            for priority, of in enumerate(priorities)
        ]
        self.set_endpoints(endpoints)

    def set_endpoints(self, endpoints):
        assignment = _any(
            "envoy.config.endpoint.v3.ClusterLoadAssignment", cluster_name="llm", endpoints=endpoints
        )
        self.write(f"{self.folder}/eds.json", {"resources": [assignment]})

    def configuration(self):
        router = _any("envoy.extensions.filters.http.router.v3.Router", **self.router)
        if self.log:
            router["upstream_log"] = [
                {
                    "name": "envoy.access_loggers.dynamic_modules",
                    "typed_config": _any(
                        "envoy.extensions.access_loggers.dynamic_modules.v3.DynamicModuleAccessLog",
                        dynamic_module_config=_MODULE,
                        logger_name="evenkeel",
                    ),
                }
            ]
        manager = _any(
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            stat_prefix="ingress",
            route_config={
                "validate_clusters": False,
                "virtual_hosts": [
                    {
                        "name": "all",
                        "domains": ["*"],
                        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "llm", **self.route}}],
                    }
                ]
            },
            http_filters=[*self.filters, {"name": "envoy.filters.http.router", "typed_config": router}],
            **self.manager,
        )
        by_cds = {"cds_config": {"path_config_source": {"path": f"{self.folder}/cds.json"}}}
        return {
            "node": {"id": "test", "cluster": "test"},
            "dynamic_resources": by_cds if self.by_cds else {},
            "admin": {"address": _address(self.admin)},
            "bootstrap_extensions": [
                {
                    "name": "envoy.bootstrap.dynamic_modules",
                    "typed_config": _any(
                        "envoy.extensions.bootstrap.dynamic_modules.v3.DynamicModuleBootstrapExtension",
                        dynamic_module_config=_MODULE,
                        extension_name="evenkeel",
                    ),
                }
            ],
            "static_resources": {
                "listeners": [
                    {
                        "name": "ingress",
                        "address": _address(self.port),
                        "enable_reuse_port": self.workers > 1,
                        **self.listener,
                        "filter_chains": [
                            {
                                "filters": [
                                    {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
                                ]
                            }
                        ],
                    }
                ],
                "clusters": [] if self.by_cds else [self.cluster_options()],
            },
        }

    def cluster_options(self):
        return {
            "name": "llm",
            "type": "EDS",
            "connect_timeout": "0.5s",
            "eds_cluster_config": {
                "eds_config": {"path_config_source": {"path": f"{self.folder}/eds.json"}}
            },
            "load_balancing_policy": self.lb_policy,
            # Not to be what the tests run into.
            "circuit_breakers": {
                "thresholds": [{"max_retries": 1000, "max_pending_requests": 10000, "max_requests": 10000}]
            },
            **self.upstream_options(),
            **self.cluster,
        }

    def set_cluster(self):
        """Hands the cluster's present options to Envoy, where it comes from a file."""
        cluster = _any("envoy.config.cluster.v3.Cluster", **self.cluster_options())
        self.write(f"{self.folder}/cds.json", {"resources": [cluster]})

    def upstream_options(self):
        if not self.upstream_filters:
            return {}
        codec = {
            "name": "envoy.filters.http.upstream_codec",
            "typed_config": _any("envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"),
        }
        options = _any(
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            explicit_http_config={"http_protocol_options": {}},
            http_filters=[*self.upstream_filters, codec],
        )
        return {
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}
        }

    def command(self, *more, form="json"):
        return [self.version, "-c", f"{self.folder}/envoy.{form}", "--concurrency", str(self.workers),
                "--disable-hot-restart", "--file-flush-interval-msec", "100", "-l", "warning", "--component-log-level", "dynamic_modules:info", *more]

    def environment(self):
        return {**os.environ, "ENVOY_DYNAMIC_MODULES_SEARCH_PATH": f"{self.folder}/modules"}

    def validate(self, form="json"):
        """What `--mode validate` says, and whether it is content."""
        result = subprocess.run(self.command("--mode", "validate", form=form), env=self.environment(), capture_output=True,
                                text=True, check=False, timeout=30)
        return result.returncode == 0, result.stdout + result.stderr

    def start(self, form="json"):
        with open(f"{self.folder}/log", "wb") as log:
            self.process = subprocess.Popen(self.command(form=form), env=self.environment(), stdout=log, stderr=log)
        until(self.ready, lambda: f"Envoy does not start: {self.said()}")
        return self

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"Envoy ended with {self.process.returncode}: {self.said()}")
        try:
            return self.ask("/ready")[1].strip() == "LIVE"
        except OSError:
            return False

    def said(self):
        with open(f"{self.folder}/log", encoding="utf-8", errors="replace") as file:
            return file.read()

    def ask(self, path, method="GET"):
        """A page of the admin interface."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=10)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def status(self):
        """The hosts of the module's page, by their address, and the decisions."""
        page = json.loads(self.ask("/evenkeel")[1])
        cluster = page["clusters"][0]
        return {host["host"]: host for host in cluster["hosts"]}, cluster["decisions"]

    def artifact(self):
        return json.loads(self.ask("/evenkeel")[1])["artifacts"][0]

    def stats(self, pattern):
        """Envoy's own statistics with this in their names."""
        lines = self.ask(f"/stats?filter={pattern}")[1].splitlines()
        return dict(line.split(": ", 1) for line in lines if ": " in line)

    def stop(self):
        code = 0
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                code = self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                code = self.process.wait()
            self.process = None
        said = self.said() if os.path.exists(f"{self.folder}/log") else ""
        shutil.rmtree(self.folder, ignore_errors=True)
        if code not in (0, -signal.SIGTERM) or "panic in" in said:
            raise AssertionError(f"Envoy ended with {code}: {said[-4000:]}")


def _address(port, ip="127.0.0.1"):
    return {"socket_address": {"address": ip, "port_value": port}}


def _endpoint(host):
    host, fields = host if isinstance(host, tuple) else (host, {})
    return {"endpoint": {"address": _address(host.port, getattr(host, "ip", "127.0.0.1"))}, **fields}
