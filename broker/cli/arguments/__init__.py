"""
The command line, one module a command. Nothing is imported here but argparse: `broker --help` and `broker serve` do not
pay for librdkafka.
"""
