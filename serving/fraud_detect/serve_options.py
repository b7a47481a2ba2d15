"""The command line of `//serving:serve`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_connector.command import UsageError
from fraud_detect.torchserve_config import Ports, ServerOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeOptions:
    """What the user asked for."""

    model: str | None
    """A version or an alias; None: the champion, or the newest where none was chosen."""
    model_store: str | None
    feature_store: str | None
    decision_log: str | None
    """Empty: none."""
    server: ServerOptions


def parse_serve_options(arguments: Sequence[str] | None = None) -> ServeOptions:
    """The options in ``arguments``, the command line's by default; exits with 2 where it cannot.

    Raises:
        UsageError: they are well formed, but what they name cannot be used.
    """
    usual = ServerOptions()
    parser = argparse.ArgumentParser(
        prog="./bazelw run //serving:serve --",
        description="Serves a stored model with TorchServe, on loopback, until Ctrl-C.",
        allow_abbrev=False,
    )
    parser.add_argument("--model", help="version or alias (default: champion, or the newest)")
    parser.add_argument("--model-store", metavar="URL", help="default: $FRAUD_HOME/models")
    parser.add_argument(
        "--feature-store",
        metavar="URL",
        help="sqlite:///..., postgresql://..., redis://..., env:NAME or secret-file:PATH; holds the"
        " state of features (default: $FRAUD_HOME/features.db)",
    )
    parser.add_argument(
        "--decision-log",
        metavar="URL",
        help="of a database for every decision; '' for none (default: $FRAUD_HOME/decisions.db)",
    )
    parser.add_argument("--workers", type=_positive, default=usual.workers, help="default: 1")
    for name, default in (
        ("port", usual.ports.inference),
        ("metrics-port", usual.ports.metrics),
        ("grpc-port", usual.ports.grpc_inference),
        ("grpc-management-port", usual.ports.grpc_management),
    ):
        parser.add_argument(f"--{name}", type=_port, default=default, help=f"default: {default}")
    parser.add_argument("--token-auth", choices=("on", "off"), default="on", help="default: on")
    parser.add_argument("--tls-cert", type=Path, metavar="PEM")
    parser.add_argument("--tls-key", type=Path, metavar="PEM")
    given = parser.parse_args(arguments)
    _check_tls(given.tls_cert, given.tls_key)
    return ServeOptions(
        model=given.model,
        model_store=given.model_store and _absolute(given.model_store),
        feature_store=given.feature_store and _absolute(given.feature_store),
        decision_log=given.decision_log and _absolute(given.decision_log),
        server=ServerOptions(
            ports=Ports(
                inference=given.port,
                metrics=given.metrics_port,
                grpc_inference=given.grpc_port,
                grpc_management=given.grpc_management_port,
            ),
            workers=given.workers,
            token_auth=given.token_auth == "on",  # noqa: S105
            certificate=given.tls_cert and given.tls_cert.absolute(),
            private_key=given.tls_key and given.tls_key.absolute(),
        ),
    )


def _absolute(url: str) -> str:
    """``url`` for processes that work in other folders."""
    scheme, slashes, rest = url.partition(":///")
    if slashes and scheme.startswith("sqlite"):
        file, *options = rest.split("?", 1)
        return "?".join([f"{scheme}:///{Path(file).absolute()}", *options])
    if url.startswith("secret-file:"):
        return f"secret-file:{Path(url.removeprefix('secret-file:')).absolute()}"
    if url.startswith("env:") or "://" in url:
        return url
    return str(Path(url).absolute())


def _check_tls(certificate: Path | None, key: Path | None) -> None:
    if (certificate is None) != (key is None):
        raise UsageError("--tls-cert and --tls-key go together")
    for option, path in (("--tls-cert", certificate), ("--tls-key", key)):
        if path is not None and not path.is_file():
            raise UsageError(f"{option} {path}: no such file")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 < value < 2**16:
        raise argparse.ArgumentTypeError(f"must be from 1 to 65535, got {text}")
    return value
