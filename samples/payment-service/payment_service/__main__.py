"""`python -m payment_service [--port 8002]`: serves the HTTP face on the loopback address."""

import argparse

import uvicorn


def main() -> None:
    parser = argparse.ArgumentParser(prog="payment-service", description="Serves payments over HTTP.")
    parser.add_argument("--port", type=int, default=8002, help="the TCP port (default: 8002)")
    uvicorn.run("payment_service.service:api", host="127.0.0.1", port=parser.parse_args().port, access_log=False)


if __name__ == "__main__":
    main()
