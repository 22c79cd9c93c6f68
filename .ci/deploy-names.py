"""What no foreign validator can know of deploy/: that alerts and board speak of numbers that
the source describes, that each alert has a test that it fires and one that it keeps quiet and a
heading that says what to do, that versions agree with the source's, that no path leads nowhere.

Run from the root of the repository. Prints what is wrong, one a line, and ends with 1.
With --expressions it prints the board's queries as a file of rules instead, for promtool.
"""

import itertools
import json
import re
import sys
import tomllib
from pathlib import Path

import yaml

DEPLOY = Path("deploy")
RULES = DEPLOY / "prometheus/volley.rules.yml"
TESTS = DEPLOY / "prometheus/volley.rules.test.yml"
BOARD = DEPLOY / "grafana/volley.json"
COMPOSE = ["compose.yaml", "compose.single.yaml"]
SOURCES = ["api/src", "actors/src", "engine/src"]

# Grafana's variables, as something that PromQL can read.
VARIABLES = {"$__rate_interval": "5m", "$instance": ".*"}

# What a histogram is shown as.
OF_HISTOGRAM = ["_bucket", "_sum", "_count"]

wrong = []


def described():
    """The numbers that the source describes, each with its kind, as /metrics names them."""
    texts = [path.read_text() for root in SOURCES for path in sorted(Path(root).rglob("*.rs"))]
    numbers = {}
    for text in texts:
        names = dict(re.findall(r'const (\w+): &str\s*=\s*"(\w+)"', text))
        for kind, name in re.findall(r"describe_(\w+)!\(\s*(\w+)", text):
            if name not in names:
                wrong.append(f"describe_{kind}!({name}): not a constant of the same file")
                continue
            suffixes = OF_HISTOGRAM if kind == "histogram" else [""]
            numbers.update({names[name] + suffix: kind for suffix in suffixes})
    return numbers


def board_queries(board):
    """Each query of the board, with the panel's title."""
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"]
            for name, value in VARIABLES.items():
                query = query.replace(name, value)
            yield panel["title"], query


def check_numbers(numbers, rules, board):
    alerts = ((rule["alert"], rule["expr"]) for rule in rules)
    used = set()
    for where, query in itertools.chain(alerts, board_queries(board)):
        for number in re.findall(r"\bvolley_\w+", query):
            used.add(number)
            if number not in numbers:
                wrong.append(f"{where}: {number} is not a number that the source describes")
    for number, kind in numbers.items():
        base = number.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
        shown = number in used or any(base + suffix in used for suffix in OF_HISTOGRAM)
        if not shown:
            wrong.append(f"{number}: neither an alert nor the board shows this {kind}")


def check_alerts(rules, tests):
    fires, quiet = set(), set()
    for ask in (ask for group in tests["tests"] for ask in group["alert_rule_test"]):
        (fires if ask["exp_alerts"] else quiet).add(ask["alertname"])
    readme = (DEPLOY / "README.md").read_text()
    headings = set(re.findall(r"^### (\w+)$", readme, re.M))
    alerts = {rule["alert"] for rule in rules}
    for rule in rules:
        alert = rule["alert"]
        if alert not in fires:
            wrong.append(f"{alert}: no test in which it fires")
        if alert not in quiet:
            wrong.append(f"{alert}: no test in which it keeps quiet")
        if rule["annotations"].get("runbook") != f"deploy/README.md#{alert.lower()}":
            wrong.append(f"{alert}: its runbook is not deploy/README.md#{alert.lower()}")
        if not rule["annotations"].get("summary"):
            wrong.append(f"{alert}: has no summary")
        if rule["labels"].get("severity") not in ("critical", "warning"):
            wrong.append(f"{alert}: its severity is neither critical nor warning")
        if alert not in headings:
            wrong.append(f"{alert}: deploy/README.md has no heading of this name")
    for alert in sorted((fires | quiet | {h for h in headings if h.startswith("Volley")}) - alerts):
        wrong.append(f"{alert}: is tested or explained, and is no alert")


def check_board(board):
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    uids = {one["uid"] for one in source["datasources"]}
    ids, taken = set(), {}
    for panel in board["panels"]:
        title = panel["title"]
        if panel["id"] in ids:
            wrong.append(f"board: two panels have the id {panel['id']}")
        ids.add(panel["id"])
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24:
            wrong.append(f"board: {title}: is wider than the board")
        for cell in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        ):
            if cell in taken and taken[cell] != title:
                wrong.append(f"board: {title} lies on {taken[cell]}")
                break
            taken[cell] = title
        if panel["type"] == "row":
            continue
        if not panel.get("description") or not panel["fieldConfig"]["defaults"].get("unit"):
            wrong.append(f"board: {title}: needs a description and a unit")
        for asks in [panel, *panel["targets"]]:
            if asks["datasource"]["uid"] not in uids:
                wrong.append(f"board: {title}: its data source is not provisioned")


def check_versions():
    toolchain = tomllib.loads(Path("rust-toolchain.toml").read_text())["toolchain"]["channel"]
    version = tomllib.loads(Path("Cargo.toml").read_text())["workspace"]["package"]["version"]
    container = (DEPLOY / "Containerfile").read_text()
    for found in re.findall(r"FROM rust:([\d.]+)-|RUSTUP_TOOLCHAIN=([\d.]+)", container):
        if "".join(found) != toolchain:
            wrong.append(f"Containerfile: Rust {''.join(found)}, and the toolchain is {toolchain}")
    for path in sorted(DEPLOY.rglob("*")):
        if not path.is_file():
            continue
        for found in re.findall(r"\bvolley:(\d+\.\d+\.\d+)", path.read_text()):
            if found != version:
                wrong.append(f"{path}: volley:{found}, and the version is {version}")
    used = [one["image"] for file in COMPOSE for one in services(file).values()]
    for image in re.findall(r"^FROM (\S+)", container, re.M) + used:
        if image != "scratch" and not re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*", image):
            wrong.append(f"{image}: not pinned to a version")


def services(file):
    """The services of a compose file, with what those of another one bring that they extend."""
    found = yaml.safe_load((DEPLOY / file).read_text())["services"]
    for name, service in found.items():
        if "extends" in service:
            base = service["extends"]
            found[name] = services(base["file"])[base["service"]] | service
    return found


def check_compose(file):
    """What the schema of compose files leaves open."""
    found, volumes = services(file), yaml.safe_load((DEPLOY / file).read_text())["volumes"]
    for name, service in found.items():
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                wrong.append(f"{file}: {name}: {port} is open to the world")
        for volume in service.get("volumes", []):
            outside = volume.split(":")[0]
            if outside.startswith(".") and not (DEPLOY / outside).exists():
                wrong.append(f"{file}: {name}: there is no {outside}")
            if not outside.startswith(".") and outside not in volumes:
                wrong.append(f"{file}: {name}: volume {outside} is not declared")
        for other, how in service.get("depends_on", {}).items():
            if other not in found:
                wrong.append(f"{file}: {name}: depends on {other}, which is not there")
            # The image of volley brings a check of its own.
            elif how["condition"] == "service_healthy" and "healthcheck" not in found[other]:
                if not found[other]["image"].startswith("volley:"):
                    wrong.append(f"{file}: {name}: nobody can tell whether {other} is well")


def check_nodes():
    """The nodes of the cluster are asked by the door and by Prometheus, each of them."""
    nodes = {name for name in services("compose.yaml") if name.startswith("node-")}
    door = (DEPLOY / "compose/haproxy.cfg").read_text()
    settings = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    (job,) = settings["scrape_configs"]
    watched = {target for one in job["static_configs"] for target in one["targets"]}
    led_to = set(re.findall(r"^    server \S+ (\S+)$", door, re.M))
    for what, found in [("the door", led_to), ("Prometheus", watched)]:
        if found != {f"{name}:8080" for name in nodes}:
            wrong.append(f"compose.yaml: {what} knows the nodes {sorted(found)}")


def manifests(folder):
    """Those of a folder, by kind and name, with the namespace that all share."""
    kubernetes = DEPLOY / "kubernetes"
    things = {}
    for path in [kubernetes / "00-namespace.yaml", *sorted((kubernetes / folder).glob("*.yaml*"))]:
        thing = yaml.safe_load(path.read_text())
        things[thing["kind"], thing["metadata"]["name"]] = thing
        if thing["kind"] != "Namespace" and thing["metadata"].get("namespace") != "volley":
            wrong.append(f"{path}: is not in the namespace volley")
    return things


def check_manifests(folder, kind, replicas):
    """What the schemas of Kubernetes leave open: names that must agree over files."""
    things = manifests(folder)
    workload = things[kind, "volley"]["spec"]
    labels = workload["template"]["metadata"]["labels"].items()
    selectors = {kind: workload["selector"]["matchLabels"]}
    for (other, name), thing in things.items():
        match other:
            case "Service":
                selectors[f"Service {name}"] = thing["spec"]["selector"]
            case "PodDisruptionBudget":
                selectors[other] = thing["spec"]["selector"]["matchLabels"]
            case "NetworkPolicy":
                selectors[other] = thing["spec"]["podSelector"]["matchLabels"]
    for what, selector in selectors.items():
        if not selector or not selector.items() <= labels:
            wrong.append(f"{folder}: {what}: does not select the pods of the {kind}")
    if workload["replicas"] != replicas:
        wrong.append(f"{folder}: {kind}: {workload['replicas']} pods, and not {replicas}")
    if "serviceName" in workload and ("Service", workload["serviceName"]) not in things:
        wrong.append(f"{folder}: {kind}: its service is another")
    pods = [(kind, workload["template"]["spec"])]
    pods += [(what, one["spec"]["template"]["spec"]) for (what, _), one in things.items() if what == "Job"]
    for what, pod in pods:
        (container,) = pod["containers"]
        named = {one["configMap"]["name"] for one in pod["volumes"] if "configMap" in one}
        if named != {"volley"} or ("ConfigMap", "volley") not in things:
            wrong.append(f"{folder}: {what}: its settings are another ConfigMap")
        secrets = [one["secretRef"]["name"] for one in container["envFrom"]]
        if secrets != ["volley"] or ("Secret", "volley") not in things:
            wrong.append(f"{folder}: {what}: its secrets are another Secret")
    (node,) = workload["template"]["spec"]["containers"]
    ports = {port["name"] for port in node["ports"]}
    probes = [node[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
    routes = Path("api/src/http/routes.rs").read_text()
    for probe in probes:
        if probe["port"] not in ports or f'"{probe["path"]}"' not in routes:
            wrong.append(f"{folder}: {kind}: nothing answers the probe {probe}")


def main():
    board = json.loads(BOARD.read_text())
    if sys.argv[1:] == ["--expressions"]:
        rules = [
            {"record": f"panel:number_{place}", "expr": query}
            for place, (_, query) in enumerate(board_queries(board))
        ]
        yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]}, sys.stdout)
        return 0
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    numbers = described()
    check_numbers(numbers, rules, board)
    check_alerts(rules, yaml.safe_load(TESTS.read_text()))
    check_board(board)
    check_versions()
    for file in COMPOSE:
        check_compose(file)
    check_nodes()
    # A folder has one process; on servers the others wait for their turn.
    check_manifests("single", "StatefulSet", 1)
    check_manifests("cluster", "Deployment", 3)
    for line in wrong:
        print(line)
    if not wrong:
        print(f"{len(numbers)} numbers, {len(rules)} alerts and {len(board['panels'])} panels agree")
    return 1 if wrong else 0


sys.exit(main())
