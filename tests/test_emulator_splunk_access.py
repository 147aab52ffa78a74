"""Sessions, scheduled runs and Splunk Cloud at the stand-in, judged by Splunk's own splunk-sdk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from splunklib import binding, client

from connectors.emulators.splunk import Splunk
from tests.fake_clock import FakeClock
from tests.loopback_only import loopback_only

__all__ = ["loopback_only"]

HITS = "WMIC format hits"


@pytest.fixture
def splunk() -> Iterator[Splunk]:
    emulator = Splunk(FakeClock())
    emulator.start()
    yield emulator
    emulator.stop()
    assert emulator.crashes == []


def connect(splunk: Splunk, **how: Any) -> Any:
    host, port = splunk.address
    login = {name: splunk.credentials[name] for name in ("username", "password")}
    return client.connect(host=host, port=port, scheme="http", **login, **how)


def test_session_when_it_expired_then_the_sdk_is_refused_and_may_sign_in_anew(
    splunk: Splunk,
) -> None:
    plain, renewing = connect(splunk), connect(splunk, autologin=True)
    assert plain.saved_searches[HITS].name == HITS
    splunk.expire_sessions()
    with pytest.raises(binding.AuthenticationError):
        plain.get("saved/searches")
    assert renewing.saved_searches[HITS].name == HITS


@pytest.mark.parametrize(
    ("version", "instance_type", "is_old"),
    [("9.0.2208", "cloud", True), ("9.0.2209", "cloud", False), ("9.0.2", "", False)],
)
def test_version_when_splunk_cloud_then_the_sdk_takes_the_api_that_is_served(
    splunk: Splunk, version: str, instance_type: str, is_old: bool
) -> None:
    splunk.tune(version=version, instance_type=instance_type)
    service = connect(splunk)
    assert service.disable_v2_api is is_old
    job = service.jobs.create("search index=main", exec_mode="normal")
    assert job.results(output_mode="json", count=1).read()
    assert any("/v2/" in seen.path for seen in splunk.requests) is not is_old


def test_history_when_the_scheduler_ran_then_the_sdk_sees_the_run_and_its_range(
    splunk: Splunk,
) -> None:
    sid = splunk.run_schedule(HITS, 900, 60)
    (run,) = connect(splunk).saved_searches[HITS].history()
    now = splunk.clock.now().timestamp()
    assert run.sid == sid
    run.refresh()
    assert float(run["searchEarliestTime"]) == now - 900
    assert float(run["searchLatestTime"]) == now - 60


def test_history_when_there_are_many_runs_then_thirty_are_shown_unless_all_are_asked_for(
    splunk: Splunk,
) -> None:
    for _ in range(31):
        splunk.run_schedule(HITS, 900)
    saved = connect(splunk).saved_searches[HITS]
    assert len(saved.history()) == 30
    assert len(saved.history(count=0)) == 31


def test_saved_search_when_the_account_may_only_read_then_the_sdk_cannot_write(
    splunk: Splunk,
) -> None:
    splunk.tune(may_write=False)
    service = connect(splunk)
    with pytest.raises(binding.HTTPError) as denied:
        service.saved_searches.create("another", "index=main")
    assert denied.value.status == 403
    with pytest.raises(binding.HTTPError):
        service.saved_searches[HITS].update(search="index=main")
    assert service.saved_searches[HITS]["search"] != "index=main"


def test_role_when_read_then_the_sdk_sees_its_limits(splunk: Splunk) -> None:
    splunk.tune(srch_time_win_s=3600)
    role = connect(splunk).roles["stockade"]
    assert role["srchTimeWin"] == "3600"
    assert role["capabilities"] == ["search"]
