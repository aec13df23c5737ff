"""`python -m payment_service [--port 8002]`: serves the HTTP face on the loopback address."""

import argparse

from eventbus.http import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="payment-service", description="Serves payments over HTTP.")
    parser.add_argument("--port", type=int, default=8002, help="the TCP port (default: 8002)")
    serve("payment_service.service:api", port=parser.parse_args().port)


if __name__ == "__main__":
    main()
