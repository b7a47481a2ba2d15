"""The guide names what is there, and its arithmetic is that of its figures."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import yaml

from fraud_detect.deploy_options import parse_deploy_options

SERVING = Path(__file__).parents[1]
PRODUCTION = SERVING / "production"
GUIDE = (PRODUCTION / "README.md").read_text()
README = (SERVING / "README.md").read_text()
PROXY = (PRODUCTION / "proxy.conf").read_text()
MANIFEST = list(yaml.safe_load_all((PRODUCTION / "kubernetes.yaml").read_text()))
(DEPLOYMENT,) = [one for one in MANIFEST if one["kind"] == "Deployment"]

GIB, MIB = 2**30, 2**20
BUSY = 0.5  # of a core, that a worker may be


def figure(name: str) -> float:
    """The value of a line of the guide's table, or of its example."""
    (value,) = re.findall(rf"^\| {re.escape(name)} \| ([\d,.]+) ?", GUIDE, re.MULTILINE)
    return float(value.replace(",", ""))


def n_workers(peak: float, rate: float, count: float) -> int:
    """The fewest workers of which none is busier than :data:`BUSY`.

    Args:
        peak: payments a second.
        rate: that one worker answers, alone.
        count: seconds to count a payment that another took.
    """
    return next(n for n in range(1, 10_000) if peak / n / rate + peak * (1 - 1 / n) * count <= BUSY)


def test_figures_of_the_benchmark_are_those_of_the_readme() -> None:
    (rate,) = re.findall(r"\| 64 connections, requests/s \| ([\d,]+) \| [A-Za-z]", README)
    (p99,) = re.findall(r"\| 64 connections, p99, ms \| ([\d.]+) \| [A-Za-z]", README)
    assert figure("requests/s of a worker") == float(rate.replace(",", ""))
    assert figure("p99 at that load, ms") == float(p99)
    java, worker = re.findall(r"Java \d+ to (\d+) MiB, worker \d+ to (\d+)", README)[0]
    assert figure("TorchServe, MiB") == float(java)
    assert figure("a worker without state, MiB") == float(worker)


def test_the_example_is_what_the_formula_gives() -> None:
    payments = figure("payments a day") * figure("days that features look back")
    state = payments * figure("bytes a payment") + figure("customers and terminals") * figure(
        "bytes a customer or terminal"
    )
    assert figure("state, GiB") == pytest.approx(state / GIB, abs=0.05)
    workers = figure("workers of a pod")
    processes = 2 * workers + 1
    memory = (
        figure("TorchServe, MiB") * MIB
        + processes * (figure("a worker without state, MiB") * MIB + state)
        + 3 * payments * figure("bytes of the snapshot a payment")
    )
    assert figure("memory of a pod, GiB") == pytest.approx(memory / GIB, abs=0.05)
    needed = n_workers(
        figure("peak, payments/s"),
        figure("requests/s of a worker"),
        figure("us to count what another worker took") / 1e6,
    )
    pods = math.ceil(needed / workers) + 1
    assert figure("pods") == pods
    most = BUSY / figure("us to count what another worker took") * 1e6
    assert figure("payments/s that no number of workers exceeds") == pytest.approx(most, rel=0.01)


def test_manifest_and_unit_are_those_of_the_example() -> None:
    assert DEPLOYMENT["spec"]["replicas"] == figure("pods")
    service, _ = DEPLOYMENT["spec"]["template"]["spec"]["containers"]
    assert f"--workers={figure('workers of a pod'):.0f}" in service["args"]
    resources = service["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    unit = (PRODUCTION / "fraud-detect.service").read_text()
    for said in (resources["limits"]["memory"].removesuffix("Gi"), _unit(unit, "MemoryMax")[:-1]):
        assert figure("memory of a pod, GiB") <= float(said) <= 1.5 * figure("memory of a pod, GiB")
    assert f"Environment=WORKERS={figure('workers of a pod'):.0f}" in unit


def _unit(unit: str, name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE)
    return str(value)


def test_files_that_it_names_are_there_and_all_are_named() -> None:
    table = GUIDE.partition("```")[0]
    for file in PRODUCTION.iterdir():
        if file.suffix not in (".py", ".bazel", ".json", ".md"):
            assert re.search(rf"`{re.escape(file.name)}`|`{re.escape(file.suffix)}`", table), file
    for test in re.findall(r"`(test_\w+)`", GUIDE):
        assert (SERVING / f"tests/{test}.py").is_file()
    headings = re.findall(r"^## (.*)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}
    assert set(re.findall(r"\]\(\.\./README\.md#([\w-]+)\)", GUIDE)) <= anchors


def test_what_callers_see_is_what_the_proxy_says() -> None:
    limits = re.search(r"rate=(\d+)r/s", PROXY), re.search(r"burst=(\d+) nodelay", PROXY)
    rate, burst = (f"{int(found[1]):,}" for found in limits if found)
    assert f"more than {rate} requests a second of one caller, after a burst of {burst}" in GUIDE
    (size,) = re.findall(r"client_max_body_size (\d+);", PROXY)
    assert f"above {int(size):,} bytes" in GUIDE
    for status in re.findall(r"^ +error_page ([\d ]+) /refused;", PROXY, re.MULTILINE):
        assert all(code in GUIDE for code in status.split())
    for listen in re.findall(r"listen (\d+)", PROXY):
        assert f":{listen}/" in GUIDE


def test_commands_that_it_tells_are_taken() -> None:
    told = re.findall(r"-m\s+fraud_detect\.deploy (\S+?)`", GUIDE)
    assert len(told) == 2
    for version in told:
        assert parse_deploy_options([version]).version == "2"
    for option in ("--rollback", "--promote"):
        assert f"`{option}`" in GUIDE
        parse_deploy_options([option])
    secrets = re.findall(r"--from-file=([\w-]+)", GUIDE)
    volumes = DEPLOYMENT["spec"]["template"]["spec"]["volumes"]
    (stores,) = [one["secret"]["secretName"] for one in volumes if one["name"] == "stores"]
    assert f"create secret generic {stores} " in GUIDE
    args = " ".join(DEPLOYMENT["spec"]["template"]["spec"]["containers"][0]["args"])
    for name in secrets:
        if name != "callers":  # .map
            assert f"/etc/fraud-detect/stores/{name}" in args
