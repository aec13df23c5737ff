"""How often each case is killed: a few times in the everyday run, CYCLES times in `make soak`."""

import os


def cycles(everyday: int) -> int:
    """CYCLES from the environment, else *everyday*. Raises ValueError for what is no count of at least 1."""
    text = os.environ.get("CYCLES")
    if text is None:
        return everyday
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"CYCLES={text!r} is no number of cycles: give one from 1 on, such as CYCLES=100")
    return int(text)
