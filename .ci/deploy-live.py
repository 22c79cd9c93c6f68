"""A node, the sandbox as its provider and a Prometheus with our rules: the settings of deploy/ are
taken, every number and label that alerts and board speak of is one that the node shows, every
query of the board gets an answer, and a node that is well raises no alert.

Run from the root of the repository: .ci/deploy-live.py BINARY
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

BINARY = os.path.abspath(sys.argv[1])
ACCOUNT, TOKEN, SENDER = "AC0123456789abcdef0123456789abcdef", "0123456789abcdef" * 2, "+15005550006"

# Born with the first event of their kind, which none of this makes happen; and what only a node
# on servers or one that reads from Kafka tells.
RARE = {
    "volley_owns_journals",
    "volley_kafka_written_records_total",
    "volley_cql_statements_total",
    "volley_kafka_records_total",
    "volley_kafka_behind_records",
    "volley_kafka_answers",
    "volley_kafka_stopped_partitions",
    "volley_kafka_lost_records_total",
    "volley_actor_restarts_total",
    "volley_actors_put_aside_total",
    "volley_receipts_unmatched_total",
    "volley_inbound_texts_total",
}

# No proxy stands between a machine and itself.
urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))

wrong = []
children = []


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def fetch(url, key=None, body=None, kind="application/json"):
    head = {"Content-Type": kind} | ({"Authorization": f"Bearer {key}"} if key else {})
    if body is not None:
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, head), timeout=10) as answer:
        return answer.read().decode()


def until(what, holds, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := holds():
                return found
        except (OSError, ValueError):
            pass
        time.sleep(0.1)
    sys.exit(f"not within {seconds} s: {what}")


def start(*command, **more):
    child = subprocess.Popen(command, **more)
    children.append(child)
    return child


def volley(*arguments):
    done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def check_settings(folder):
    """`volley doctor` takes the settings of the manifests; what it finds is not the question.
    Those for nodes on servers are read by a test of `--test cluster`, which has such a build."""
    manifest = yaml.safe_load(Path("deploy/kubernetes/single/10-configmap.yaml").read_text())
    secret = yaml.safe_load(Path("deploy/kubernetes/single/secret.yaml.example").read_text())
    compose = yaml.safe_load(Path("deploy/compose.single.yaml").read_text())
    node = compose["services"]["node"]["environment"]
    cases = {
        "kubernetes": (manifest["data"]["volley.toml"], secret["stringData"]),
        "compose": (Path("deploy/compose/single.toml").read_text(), node),
    }
    for name, (text, variables) in cases.items():
        path = folder / f"{name}.toml"
        path.write_text(text)
        environment = os.environ | {key: str(value) for key, value in variables.items()}
        # Nobody is to be asked for anything.
        (provider,) = [one["name"] for one in tomllib.loads(text)["providers"]]
        environment[f"VOLLEY_PROVIDERS__{provider.upper()}__BASE_URL"] = "http://127.0.0.1:9"
        environment["VOLLEY_CONFIG"] = str(path)
        done = subprocess.run(
            [BINARY, "doctor", "--data", str(folder / name), "--listen", "127.0.0.1:0"],
            env=environment, capture_output=True, text=True,
        )
        # 1 is a finding: nobody answers there. 2 and 3 would be settings that are refused.
        if done.returncode != 1 or "127.0.0.1:0" not in done.stdout:
            wrong.append(f"{name}: its settings are not taken: {done.stderr.strip()}")


def start_node(folder):
    sandbox = start(
        BINARY, "sandbox", "--book", str(folder / "book"), "--account", f"{ACCOUNT}:{TOKEN}:0:{SENDER}",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    provider = sandbox.stdout.readline().strip()
    url = f"http://127.0.0.1:{free_port()}"
    settings = folder / "volley.toml"
    # Slow, so that something waits for as long as this looks.
    settings.write_text(f"""
[node]
data = "{folder}/data"
[http]
listen = "{url.removeprefix("http://")}"
public_url = "{url}"
[[providers]]
name = "sandbox"
kind = "twilio"
rate = 3.0
account_sid = "{ACCOUNT}"
auth_token = "{TOKEN}"
base_url = "{provider}"
senders = ["{SENDER}"]
""")
    account = volley("account", "create", "deploy", "--config", str(settings))
    key = volley("key", "create", account, "--config", str(settings))
    start(BINARY, "serve", "--config", str(settings), stderr=open(folder / "log", "w"))
    until("/readyz", lambda: fetch(f"{url}/readyz"))
    return url, key


def give_work(url, key):
    """Texts of both classes, more than leave meanwhile."""
    text = {"body": "Hello", "class": "transactional"}
    for number in range(60):
        fetch(f"{url}/v1/messages", key, text | {"to": f"+12025550{100 + number}"})
    contacts = json.loads(fetch(f"{url}/v1/contact-lists", key, {"name": "Customers"}))["id"]
    rows = "phone\n" + "".join(f"+12025560{100 + number}\n" for number in range(200))
    path = f"{url}/v1/contact-lists/{contacts}/imports"
    job = json.loads(fetch(path, key, rows, "text/csv"))["id"]
    until(
        "the import",
        lambda: json.loads(fetch(f"{url}/v1/jobs/{job}", key))["state"] == "completed",
    )
    campaign = json.loads(
        fetch(f"{url}/v1/campaigns", key, {"lists": [contacts], "template": "Hello"})
    )["id"]
    fetch(f"{url}/v1/campaigns/{campaign}/start", key, "")


def start_prometheus(folder, url):
    settings = yaml.safe_load(Path("deploy/prometheus/prometheus.single.yml").read_text())
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings["rule_files"] = [str(Path("deploy/prometheus/volley.rules.yml").resolve())]
    (job,) = settings["scrape_configs"]
    job["scrape_timeout"] = "1s"
    job["static_configs"] = [{"targets": [url.removeprefix("http://")]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    listen = f"127.0.0.1:{free_port()}"
    start(
        "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address={listen}", "--log.level=error",
    )
    until("Prometheus", lambda: fetch(f"http://{listen}/-/ready"))
    return f"http://{listen}"


def ask(prometheus, query):
    answer = json.loads(fetch(f"{prometheus}/api/v1/query?query={urllib.parse.quote(query)}"))
    return answer["data"]["result"]


def check_labels(page, queries):
    """Each label that a query matches, of each number that is on the page."""
    shown = {}
    for name, labels in re.findall(r"^(volley_\w+)(?:\{(.*)\})? ", page, re.M):
        found = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels)
        for label, value in [*found, ("job", ""), ("instance", "")]:
            shown.setdefault(name, {}).setdefault(label, set()).add(value)
    for where, query in queries:
        for name, matchers in re.findall(r"\b(volley_\w+)(?:\{([^}]*)\})?", query):
            if name not in shown:
                if name not in RARE:
                    wrong.append(f"{where}: the node does not show {name}")
                continue
            for label, value in re.findall(r'(\w+)=~?"([^"]*)"', matchers):
                values = shown[name].get(label)
                if values is None:
                    wrong.append(f"{where}: {name} has no label {label}")
                # What a status may be is not shown before it happened.
                elif label not in ("job", "instance", "status") and value not in values:
                    wrong.append(f"{where}: {name} has no {label} {value}")


def look(folder):
    check_settings(folder)
    url, key = start_node(folder)
    prometheus = start_prometheus(folder, url)
    give_work(url, key)
    board = json.loads(Path("deploy/grafana/volley.json").read_text())
    panels = [
        (panel["title"], target["expr"].replace("$__rate_interval", "10s").replace("$instance", ".*"))
        for panel in board["panels"]
        for target in panel.get("targets", [])
    ]
    rules = yaml.safe_load(Path("deploy/prometheus/volley.rules.yml").read_text())["groups"][0]["rules"]
    # Rates need some scrapes.
    until("ten scrapes", lambda: len(ask(prometheus, 'count_over_time(up{job="volley"}[1m]) > 10')))
    page = fetch(f"{url}/metrics")
    check_labels(page, panels + [(rule["alert"], rule["expr"]) for rule in rules])
    answered = 0
    for title, query in panels:
        if any(name in query for name in RARE):
            continue
        if ask(prometheus, query):
            answered += 1
        else:
            wrong.append(f"board: {title}: no answer to {query}")
    for alert in ask(prometheus, "ALERTS"):
        wrong.append(f"{alert['metric']['alertname']}: {alert['metric']['alertstate']} of a node that is well")
    if not wrong:
        print(f"{answered} of {len(panels)} queries of the board answered; the rest are of what did not happen")


def main():
    with tempfile.TemporaryDirectory() as folder:
        try:
            look(Path(folder))
        finally:
            for child in reversed(children):
                child.terminate()
            for child in children:
                child.wait(timeout=40)
    for line in wrong:
        print(line)
    return 1 if wrong else 0


sys.exit(main())
