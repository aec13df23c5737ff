"""`python -m order_service [--port 8001]`: serves the HTTP face on the loopback address."""

import argparse

import uvicorn


def main() -> None:
    parser = argparse.ArgumentParser(prog="order-service", description="Serves orders over HTTP.")
    parser.add_argument("--port", type=int, default=8001, help="the TCP port (default: 8001)")
    uvicorn.run("order_service.service:api", host="127.0.0.1", port=parser.parse_args().port, access_log=False)


if __name__ == "__main__":
    main()
