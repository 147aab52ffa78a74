"""A secret that is replaced in its file is taken up when the product refuses the old one: once, and
without a restart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.emulators.emulator import Emulator, Keys
from connectors.emulators.falcon import Falcon
from connectors.errors import AuthFailed
from connectors.model import Secret
from runner.config import load_config
from tests.world import World, running_world
from tests.world_settings import HOST


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as found:
        found.arm()
        found.tick()
        yield found


def rotate(product: Emulator) -> None:
    """The product takes new credentials only, which are in nobody's file yet."""
    product.keys = Keys.fresh(product.CREDENTIALS)
    if isinstance(product, Falcon):
        product.expire_tokens()


def hand_over(world: World, product: Emulator) -> None:
    for name, value in product.credentials.items():
        (world.folder / "secrets" / f"{product.PRODUCT}.{name}").write_text(value + "\n")


def test_tick_when_every_secret_was_replaced_then_the_job_is_done_without_a_restart(
    world: World,
) -> None:
    for product in world.emulators.all():
        rotate(product)
        hand_over(world, product)
    world.hit()
    assert world.tick().errors == ()
    world.yes(world.question())
    assert world.tick().errors == ()
    assert world.contains() == [HOST]
    assert world.case().ticket is not None
    assert len(world.cards()) == 1


def test_tick_when_the_product_was_changed_before_the_file_then_it_is_said_and_ends_with_the_file(
    world: World,
) -> None:
    rotate(world.splunk)
    before = len(world.sent)
    (error,) = {text for text in world.ticks(1, 60)[0].errors}
    assert "HTTP 401" in error
    asked = [line for line in world.sent[before:] if "server/info" in line or "dispatch" in line]
    assert len(asked) <= 2, "a refused credential is not tried again and again"
    hand_over(world, world.splunk)
    assert world.ticks(1, 60)[0].errors == ()


def test_call_when_the_new_secret_is_refused_too_then_it_is_sent_twice_and_no_more(
    world: World,
) -> None:
    rotate(world.splunk)
    world.clock.advance(3600)
    (world.folder / "secrets" / "splunk.token").write_text("no better one")
    sent = []
    for _ in range(2):
        before = len(world.sent)
        with pytest.raises(AuthFailed) as refused:
            world.service.roles.siem.server_time()
        sent.append(len(world.sent) - before)
        assert "no better one" not in str(refused.value)
    assert sent == [2, 1], "and not again while the file stays as it is"


# -- the secret itself -----------------------------------------------------------------------------


def test_secret_without_a_source_then_it_never_changes() -> None:
    assert Secret("one").reread() is False


@pytest.mark.parametrize("held", [None, "", "one"])
def test_secret_when_its_source_holds_nothing_new_then_it_stays(held: str | None) -> None:
    secret = Secret("one", lambda: held)
    assert secret.reread() is False
    assert secret.reveal() == "one"


def configured(folder: Path, spec: str, environ: dict[str, str]) -> tuple[Secret, tuple[str, ...]]:
    file = folder / "config.yaml"
    file.touch(mode=0o600)
    file.write_text(f"state_dir: state\nheartbeat_url: {spec}\n")
    config = load_config(file, environ)
    assert config.heartbeat_url is not None
    return config.heartbeat_url, config.warnings


def test_secret_of_a_file_when_it_is_replaced_then_the_new_text_counts(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.touch(mode=0o600)
    file.write_text("https://one.example.test/\n")
    secret, _ = configured(tmp_path, "{file: url}", {})
    file.write_text("")
    assert not secret.reread(), "a file that is being written is no secret"
    file.unlink()
    assert not secret.reread(), "nor is one that is away"
    file.write_text("https://two.example.test/\n")
    assert secret.reread()
    assert secret.reveal() == "https://two.example.test/"


def test_secret_of_the_environment_then_it_stays_for_the_life_of_the_process(
    tmp_path: Path,
) -> None:
    environ = {"BEAT": "https://one.example.test/"}
    secret, _ = configured(tmp_path, "{env: BEAT}", environ)
    environ["BEAT"] = "https://two.example.test/"
    assert not secret.reread()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
@pytest.mark.parametrize(("mode", "is_warned"), [(0o440, False), (0o444, True), (0o460, True)])
def test_secret_of_a_file_that_another_owner_hands_over_then_its_group_may_read_it(
    tmp_path: Path, mode: int, is_warned: bool
) -> None:
    file = tmp_path / "url"
    file.write_text("https://one.example.test/\n")
    file.chmod(mode)
    os.chown(file, 65534, os.getegid())
    _, warnings = configured(tmp_path, "{file: url}", {})
    assert any("others may read" in text for text in warnings) is is_warned
