# `os.path` on purpose: importing pathlib costs every start-up 5 ms.
# ruff: noqa: PTH118
"""Where `config.toml` is. Apart from `settings`, so that a command that reads one secret need not load those."""

import os
from collections.abc import Mapping
from typing import Final

from autokestra_secrets import home_directory

CONFIG_FILE: Final = "config.toml"


def config_path(environ: Mapping[str, str] = os.environ) -> str:
    """Return where the configuration file is, or would be."""
    return os.path.join(home_directory(environ), CONFIG_FILE)


def is_configured(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether there is a configuration file, readable or not."""
    return os.path.lexists(config_path(environ))
