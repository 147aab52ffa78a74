"""What the runner was told: YAML and environment → one typed configuration, all faults at once.

It reads files and the environment that it is given, and nothing else: it opens no connection, and
it loads no playbook. Secrets come from the environment or from files, never from the YAML itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from connectors.registry import load_product
from runner.config_rules import read_config
from runner.config_types import (
    FALLBACK,
    LONGEST_LEASE_H,
    Approvals,
    Budget,
    Config,
    ConfigFaults,
    ConnectorConfig,
    Guards,
    Hunts,
    LoadProduct,
    Mode,
    Person,
    SearchConfig,
    SearchMode,
    Silence,
    Tier,
)
from runner.yaml_reader import Fault

__all__ = [
    "FALLBACK",
    "LONGEST_LEASE_H",
    "Approvals",
    "Budget",
    "Config",
    "ConfigFaults",
    "ConnectorConfig",
    "Fault",
    "Guards",
    "Hunts",
    "Mode",
    "Person",
    "SearchConfig",
    "SearchMode",
    "Silence",
    "Tier",
    "load_config",
]


def load_config(path: Path, environ: Mapping[str, str], load: LoadProduct = load_product) -> Config:
    """Read a configuration. Relative paths in it count from its own folder.

    Errors: `ConfigFaults` with every fault; also for a file that cannot be read.
    """
    return read_config(path, environ, load)
