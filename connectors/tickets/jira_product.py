"""What a configuration says of a Jira project."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from msgspec import field

from connectors.model import CaseStage
from connectors.product import Product

_PROJECT = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
CUSTOM_FIELD = re.compile(r"customfield_[0-9]+")


_MAX_LABEL = 255
_CASE_VALUES = ("severity", "assessment", "host", "case", "search", "playbook")
_OUR_FIELDS = ("summary", "description", "labels", "priority", "project", "issuetype")
_STAGES = tuple(stage.value for stage in CaseStage)


class JiraProduct(Product):
    """One project of one site."""

    TYPE = "jira"
    ROLE = "tickets"
    CREDENTIALS = ("email", "api_token")
    OR_CREDENTIALS: ClassVar[tuple[str, ...]] = ("token",)
    OR_OPTIONS: ClassVar[dict[str, str]] = {"deployment": "data_center"}

    class Options(Product.Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
        """`deployment`: `cloud` or `data_center`. `project`: its key. `labels`: put on every
        ticket. `priorities`: severity → the name of a Jira priority; none is sent without it.
        `site_url`: where people read tickets, when `base_url` is Atlassian's gateway for scoped
        tokens. `fields`: id or name of a custom field → what every ticket gets, in the shape that
        Jira's REST API takes; `{case: host}` in it is the case's own value. `transitions`: stage of
        a case → the status that its ticket is moved to, or the name of the transition."""

        project: str
        deployment: str = "cloud"
        issue_type: str = "Task"
        labels: tuple[str, ...] = ()
        priorities: dict[str, str] = field(default_factory=dict)
        site_url: str | None = None
        fields: dict[str, Any] = field(default_factory=dict)
        transitions: dict[str, str] = field(default_factory=dict)

        def __post_init__(self) -> None:
            if not _PROJECT.fullmatch(self.project):
                raise ValueError("project is a Jira project's key, such as SEC")
            if self.deployment not in ("cloud", "data_center"):
                raise ValueError("deployment is cloud or data_center")
            if bad := [label for label in self.labels if label_of(label) != label]:
                raise ValueError(f"a Jira label has no spaces and no control characters: {bad}")
            if self.site_url is not None and not self.site_url.startswith("https://"):
                raise ValueError("site_url begins with https://")
            if wrong := [key for key in self.fields if not _is_field(key)]:
                raise ValueError(
                    f"fields takes custom fields, by id (customfield_10010) or name, not {wrong}"
                )
            if strange := sorted(_case_values(self.fields) - {*_CASE_VALUES}):
                raise ValueError(f"a case has {', '.join(_CASE_VALUES)}, not {strange}")
            if unknown := [key for key in self.transitions if key not in _STAGES]:
                raise ValueError(f"transitions knows {', '.join(_STAGES)}, not {unknown}")
            if empty := [key for key, value in self.fields.items() if value in (None, "", [], {})]:
                raise ValueError(f"fields gives no value to {empty}")


def label_of(text: str) -> str:
    """A text as a Jira label: no blanks, no control characters, at most 255 characters."""
    # Imported here: most ticks read a configuration without labels and open no ticket.
    from connectors.tickets.jira_text import shown

    return re.sub(r"\s+", "-", shown(text.strip()))[:_MAX_LABEL]


def case_value(value: Any) -> str | None:
    """The name in `{case: name}`, by which a field is given one of the case's own values."""
    is_one = isinstance(value, dict) and list(value) == ["case"]
    return str(value["case"]) if is_one else None


def _case_values(value: Any) -> set[str]:
    """The names of the case's values anywhere in a configured value."""
    if (name := case_value(value)) is not None:
        return {name}
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {name for one in inner for name in _case_values(one)}


def _is_field(key: str) -> bool:
    """A custom field's id, or what may be its name."""
    if CUSTOM_FIELD.fullmatch(key):
        return True
    is_name = key.isprintable() and key == key.strip() and 0 < len(key) <= _MAX_LABEL
    return is_name and not key.startswith("customfield_") and key not in _OUR_FIELDS
