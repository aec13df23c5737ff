"""What a command does not do."""


class Refused(Exception):
    """Something has to be put right first: one sentence that names it and the way out. Exit code 2."""
