"""`./bazelw run //docs:serve`: the site on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SITE = Path(__file__).parent / "site"


def main() -> None:
    """Serves it on loopback."""
    parser = argparse.ArgumentParser(description="The repository's site, on loopback.")
    parser.add_argument("--port", type=int, default=8000, help="0: any (default: %(default)s)")
    handler = partial(SimpleHTTPRequestHandler, directory=str(SITE))
    with ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), handler) as server:
        sys.stdout.write(f"http://127.0.0.1:{server.server_port}/\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
