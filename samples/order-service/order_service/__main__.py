"""`python -m order_service [--port 8001]`: serves the HTTP face on the loopback address."""

import argparse

from eventbus.http import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="order-service", description="Serves orders over HTTP.")
    parser.add_argument("--port", type=int, default=8001, help="the TCP port (default: 8001)")
    serve("order_service.service:api", port=parser.parse_args().port)


if __name__ == "__main__":
    main()
