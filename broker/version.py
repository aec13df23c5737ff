"""The one place where the version of the distribution (`eventbus-msa`: `broker` and `eventbus`) is written."""

from typing import Final

VERSION: Final = "0.1.0"
