"""TorchServe's configuration: quiet, closed, and as fast as it can be."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from fraud_detect.service_metrics import declaration
from fraud_detect.worker_settings import MODEL_NAME

MANAGEMENT_SOCKET = "management.sock"
"""In the server's folder: only who may enter that can manage it."""

_TEN_YEARS = 10 * 365 * 24 * 60  # minutes


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """On loopback."""

    inference: int = 8080
    metrics: int = 8082
    grpc_inference: int = 7070
    grpc_management: int = 7071

    def options(self) -> dict[str, int]:
        """The ports by the options of `//serving:serve` that choose them."""
        return {
            "--port": self.inference,
            "--metrics-port": self.metrics,
            "--grpc-port": self.grpc_inference,
            "--grpc-management-port": self.grpc_management,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerOptions:
    """How the server runs."""

    ports: Ports = field(default_factory=Ports)
    workers: int = 1
    batch_size: int = 32
    """Requests that a worker takes at once, at most."""
    batch_delay_us: int = 1
    """How long it waits for each further one; the least with which a batch may be of more than two,
    :mod:`fraud_detect.torchserve_batches`."""
    queue: int = 1_000
    """Requests that may wait; above it they get 503."""
    response_timeout_s: int = 30
    max_request_bytes: int = 6_553_500
    token_auth: bool = True
    certificate: Path | None = None
    private_key: Path | None = None


def properties(options: ServerOptions, folder: Path, version: str) -> str:
    """The content of ``config.properties``."""
    ports = options.ports
    scheme = "http" if options.certificate is None else "https"
    model = {
        "defaultVersion": True,
        "marName": f"{MODEL_NAME}.mar",
        "minWorkers": options.workers,
        "maxWorkers": options.workers,
        "batchSize": options.batch_size,
        "maxBatchDelay": options.batch_delay_us,
        "responseTimeout": options.response_timeout_s,
    }
    lines: dict[str, object] = {
        "inference_address": f"{scheme}://127.0.0.1:{ports.inference}",
        "management_address": f"unix:{folder / MANAGEMENT_SOCKET}",
        "metrics_address": f"{scheme}://127.0.0.1:{ports.metrics}",
        "grpc_inference_address": "127.0.0.1",
        "grpc_management_address": "127.0.0.1",
        "grpc_inference_port": ports.grpc_inference,
        "grpc_management_port": ports.grpc_management,
        "models": json.dumps({MODEL_NAME: {version: model}}),
        "load_models": f"{MODEL_NAME}.mar",
        "model_store": folder / "archives",
        # Nothing from elsewhere, neither models nor packages nor settings.
        "allowed_urls": f"file://{folder / 'archives'}/.*",
        "use_env_allowed_urls": "false",
        "enable_envvars_config": "false",
        "install_py_dep_per_model": "false",
        # What would change how workers start is for nobody who set it for another program.
        "blacklist_env_vars": "LD_PRELOAD|PYTHON(STARTUP|INSPECT|BREAKPOINT|WARNINGS)",
        # Deployments load and drop versions, through the socket; gRPC wants the management token.
        "enable_model_api": "true",
        "disable_token_authorization": str(not options.token_auth).lower(),
        # By default all tokens expire an hour after the start, and nothing tells whoever calls.
        "token_expiration_min": _TEN_YEARS,
        "max_request_size": options.max_request_bytes,
        "default_response_timeout": options.response_timeout_s,
        "job_queue_size": options.queue,
        "decode_input_request": "false",  # the handler does, faster
        "metrics_mode": "prometheus",
        "metrics_config": folder / "metrics.yaml",
        "disable_system_metrics": "true",
        "async_logging": "true",
        "number_of_netty_threads": 1,
        "netty_client_threads": 1,
        "number_of_gpu": 0,
        "prefer_direct_buffer": "true",
    }
    if options.certificate is not None:
        lines |= {
            "certificate_file": options.certificate,
            "private_key_file": options.private_key,
        }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def log4j() -> str:
    """The content of ``log4j2.xml``: warnings of the server, all that workers say, in one file."""
    return """<?xml version="1.0" encoding="UTF-8"?>
<Configuration>
  <Appenders>
    <RollingFile name="log" fileName="${env:LOG_LOCATION}/ts_log.log"
                 filePattern="${env:LOG_LOCATION}/ts_log.%i.log">
      <PatternLayout pattern="%d{ISO8601} %-5p %c{1}: %m%n"/>
      <Policies><SizeBasedTriggeringPolicy size="10 MB"/></Policies>
      <DefaultRolloverStrategy max="3"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Logger name="ACCESS_LOG" level="off"/>
    <Logger name="MODEL_METRICS" level="off"/>
    <Logger name="TS_METRICS" level="off"/>
    <Logger name="MODEL_LOG" level="info"/>
    <Root level="warn"><AppenderRef ref="log"/></Root>
  </Loggers>
</Configuration>
"""


def metrics() -> str:
    """The content of ``metrics.yaml``: what TorchServe counts, and what workers may."""
    server = """dimensions: [&model_name "ModelName", &level "Level", &hostname "Hostname"]
ts_metrics:
  counter:
    - {name: Requests2XX, unit: Count, dimensions: [*level, *hostname]}
    - {name: Requests4XX, unit: Count, dimensions: [*level, *hostname]}
    - {name: Requests5XX, unit: Count, dimensions: [*level, *hostname]}
    - {name: ts_inference_requests_total, unit: Count,
       dimensions: [model_name, model_version, hostname]}
    - {name: ts_inference_latency_microseconds, unit: Microseconds,
       dimensions: [model_name, model_version, hostname]}
    - {name: ts_queue_latency_microseconds, unit: Microseconds,
       dimensions: [model_name, model_version, hostname]}
  gauge:
    - {name: QueueTime, unit: Milliseconds, dimensions: [*level, *hostname]}
    - {name: WorkerThreadTime, unit: Milliseconds, dimensions: [*level, *hostname]}
    - {name: WorkerLoadTime, unit: Milliseconds, dimensions: [WorkerName, *level, *hostname]}
model_metrics:
"""
    # TorchServe tells it by itself, and is silent about it: at INFO.
    own = "    - {name: PredictionTime, unit: ms, dimensions: [*model_name, *level]}\n"
    return f"{server}{declaration()}{own}"
