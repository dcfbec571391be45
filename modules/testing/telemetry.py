"""The telemetry file of a proxy, as the project's own code writes it: the agent, or an example of the runtime."""

import os
import subprocess

AGENT = os.environ.get("EVENKEEL_AGENT")
WRITER = os.environ.get("EVENKEEL_TELEMETRY_WRITER")


def write_telemetry(path, *addresses, running=None, waiting=None, kv_use=None, step_s=None, age_s=0.0):
    """
    Puts a file in place that says the same of each host, measured so many seconds ago, or
    ahead of now where that is negative. None is what a host does not tell.
    """
    numbers = {"running": running, "waiting": waiting, "kv_use": kv_use, "step_s": step_s, "age_s": age_s}
    told = [f"{name}={value}" for name, value in numbers.items() if value is not None]
    subprocess.run([WRITER, path, *addresses, *told], check=True, timeout=20)


class Agent:
    """The agent beside a proxy, which scrapes these hosts into a file in the proxy's folder."""

    def __init__(self, folder, hosts, path=None):
        list_path = f"{folder}/hosts"
        with open(list_path, "w", encoding="ascii") as file:
            file.writelines(f"{host.address}\n" for host in hosts)
        command = [AGENT, "--hosts", list_path, "--output", path or f"{folder}/llm.tel", "--interval-ms", "50"]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def kill(self):
        self.process.kill()
        self.process.wait()


def vllm_page(running, waiting, kv_use):
    """Metrics as vLLM has them."""
    return (
        f'# TYPE vllm:num_requests_running gauge\n'
        f'vllm:num_requests_running{{model_name="m"}} {running}\n'
        f'vllm:num_requests_waiting{{model_name="m"}} {waiting}\n'
        f'vllm:kv_cache_usage_perc{{model_name="m"}} {kv_use}\n'
    )
