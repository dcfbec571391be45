"""Checks the recipes under deploy/ against the schemas of what reads them.

The first argument is the folder in which npm has @kubernetes-models/keda, or "-" without it.
Kubernetes' own kinds are checked by kubernetes-validate, KEDA's by its npm package, Nomad's
policies by python-hcl2 for their syntax and by hand for the blocks that a policy needs. Metrics that
alert rules and dashboards name must be metrics of a proxy's module or of the agent.
"""

import json
import pathlib
import re
import subprocess
import sys

import hcl2
import kubernetes_validate
import yaml

KEDA = """
import {ScaledObject} from '@kubernetes-models/keda/keda.sh/v1alpha1';
import {readFileSync} from 'fs';
new ScaledObject(JSON.parse(readFileSync(0))).validate();
"""
ROOT = pathlib.Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
# What exports metrics.
EXPORTERS = ["modules/nginx/src/*.c", "modules/envoy/src/**/*.rs", "agent/src/status.rs"]


def check_kubernetes(path, document):
    version = kubernetes_validate.latest_version()
    kubernetes_validate.validate(document, version, strict=True)
    return f"Kubernetes {version}"


def check_keda(path, document, npm):
    run = subprocess.run(
        ["node", "--input-type=module", "-e", KEDA], input=json.dumps(document), cwd=npm, capture_output=True, text=True
    )
    if run.returncode != 0:
        raise ValueError(run.stderr)
    return "@kubernetes-models/keda"


def check_nomad(path):
    policies = hcl2.loads(path.read_text())["scaling"]
    for (name, policy) in (item for scaling in policies for item in scaling.items()):
        [body] = policy["policy"]
        [target] = body["target"]
        if not policy["min"] <= policy["max"] or not body["check"] or not target:
            raise ValueError(f"{name}: a policy needs bounds, a check and a target")
    return "python-hcl2"


def check_metrics(path):
    exported = "".join(source.read_text() for pattern in EXPORTERS for source in ROOT.glob(pattern))
    known = set(re.findall(r"\bevenkeel_[a-z0-9_]+", exported))
    expressions = re.findall(r"\bevenkeel_[a-z0-9_]+", "\n".join(expressions_of(yaml.safe_load(path.read_text()))))
    unknown = sorted(set(expressions) - known)
    if unknown or not expressions:
        raise ValueError(f"metrics that nothing exports: {', '.join(unknown) or 'all'}")
    return f"{len(set(expressions))} metrics"


def expressions_of(value):
    """Queries anywhere in rules, or in a dashboard, which is JSON and thereby YAML."""
    if isinstance(value, list):
        return [expression for item in value for expression in expressions_of(item)]
    if not isinstance(value, dict):
        return []
    own = [value["expr"]] if isinstance(value.get("expr"), str) else []
    return own + expressions_of(list(value.values()))


def main():
    npm = sys.argv[1]
    failed = 0
    documents = [(path, document) for path in sorted(DEPLOY.rglob("*.yaml"))
                 for document in yaml.safe_load_all(path.read_text()) if document and "apiVersion" in document]
    checks = [(path, lambda path=path, document=document: check(path, document, npm)) for path, document in documents]
    checks += [(path, lambda path=path: check_nomad(path)) for path in sorted(DEPLOY.rglob("*.hcl"))]
    checks += [(path, lambda path=path: check_metrics(path))
               for path in [DEPLOY / "prometheus/alerts.yaml", DEPLOY / "grafana/evenkeel.json"]]
    for path, run in checks:
        try:
            print(f"{path.relative_to(DEPLOY)}: {run()}")
        except Exception as error:
            failed += 1
            print(f"{path.relative_to(DEPLOY)}: {error}", file=sys.stderr)
    return 1 if failed or len(checks) < 5 else 0


def check(path, document, npm):
    if not document["apiVersion"].startswith("keda.sh/"):
        return check_kubernetes(path, document)
    return check_keda(path, document, npm) if npm != "-" else "left out: needs npm"


if __name__ == "__main__":
    sys.exit(main())
