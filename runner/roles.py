"""The connectors that a configuration binds to roles, each built when it is first used.

Building all of them would cost every cron start; a quiet poll needs the SIEM's alone.
"""

from __future__ import annotations

from threading import Lock
from typing import cast

from connectors.base import Action, Chat, Connector, Edr, Siem, Tickets
from connectors.errors import Rejected
from connectors.http import Runtime
from connectors.registry import load_connector
from runner.config import Config


class Roles:
    """Role → connector. Errors: `Rejected` for a role that the configuration does not bind."""

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._config = config
        self._runtime = runtime
        self._built: dict[str, Connector] = {}
        self._building = Lock()

    def has(self, role: str) -> bool:
        return role in self._config.roles

    def connector(self, role: str) -> Connector:
        name = self._config.roles.get(role)
        if name is None:
            raise Rejected("configuration", f"no connector is bound to the role {role}")
        with self._building:
            if name not in self._built:
                settings = self._config.connectors[name]
                self._built[name] = load_connector(settings.type)(
                    name=settings.name,
                    tenant=settings.tenant,
                    settings=settings.settings,
                    credentials=settings.credentials,
                    options=settings.options,
                    runtime=self._runtime,
                )
            return self._built[name]

    @property
    def siem(self) -> Siem:
        return cast(Siem, self.connector("siem"))

    @property
    def edr(self) -> Edr:
        return cast(Edr, self.connector("edr"))

    @property
    def chat(self) -> Chat:
        return cast(Chat, self.connector("chat"))

    @property
    def tickets(self) -> Tickets:
        return cast(Tickets, self.connector("tickets"))

    def settle_s(self, role: str, action: Action) -> float:
        """How long a request of this role may still land: as declared, or as configured."""
        configured = self._config.connectors[self._config.roles[role]].settings.settle_s
        if configured is None:
            return action.settle_s
        return configured if self._config.emulated else max(configured, action.settle_s)
