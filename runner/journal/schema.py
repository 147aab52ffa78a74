"""The tables of the journal, and how an older file becomes a newer one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

VERSION = 3

TABLES = """
create table meta (key text primary key, value text not null) without rowid;

create table entry (
  seq integer primary key, at text not null, actor text not null, kind text not null,
  refs text not null, payload_sha256 text not null, prev text not null, sha256 text not null);
create index entry_kind on entry (kind, seq);
create table payload (seq integer primary key, body text not null);

create table alert (
  n integer primary key, id text not null unique, case_id text not null, search text not null,
  received_at real not null, body text not null);
create index alert_case on alert (case_id, n);

create table cases (
  id text primary key, key text not null, host text, last_at real not null,
  revision integer not null, reported integer not null, body text not null) without rowid;
create index cases_key on cases (key, last_at);
create index cases_host on cases (host, last_at);
create index cases_unreported on cases (id) where revision > reported;

create table bundle (sha256 text primary key, name text not null, body text not null) without rowid;

create table run (
  id text primary key, case_id text not null, status text not null, wake_at real,
  wait_on text not null, body text not null, rank integer not null default 0) without rowid;
create index run_due on run (wake_at) where status in ('queued', 'running', 'waiting');
create index run_urgent on run (rank, wake_at)
  where rank > 0 and status in ('queued', 'running', 'waiting');
create index run_case on run (case_id);
create index run_failed on run (status) where status = 'failed';
create index run_wait on run (wait_on) where status = 'waiting';

create table step (
  scope text not null, key text not null, class text not null, status text not null,
  attempt integer not null, settle_until real, value text, error text,
  intended_at real not null, ended_at real, primary key (scope, key)) without rowid;
create index step_parked on step (scope) where status = 'unknown';
create index step_held_up on step (scope) where error is not null and ended_at is null;

create table approval (
  id text primary key, code text not null, run_id text not null, state text not null,
  expires_at real, due_at real, closed integer not null, body text not null) without rowid;
create index approval_open on approval (state) where closed = 0;
create index approval_due on approval (due_at) where due_at is not null;
create index approval_code on approval (code);
create index approval_run on approval (run_id);

create table subject (
  name text primary key, state text not null, approval_id text, case_id text not null,
  until real, rank integer not null) without rowid;

create table ledger (
  subject text primary key, state text not null, due_at real, requested_at real,
  body text not null) without rowid;
create index ledger_due on ledger (due_at) where due_at is not null;
create index ledger_requested on ledger (requested_at);

create table watermark (search text primary key, value integer not null) without rowid;
create table job (search text primary key, body text not null) without rowid;
create table poll (
  n integer primary key, search text not null, at real not null, ok integer not null,
  body text not null);
create index poll_search on poll (search, n);
"""

UPGRADES: tuple[str, ...] = (
    """
drop index if exists cases_host;
create index cases_host on cases (host, last_at);
create index if not exists run_failed on run (status) where status = 'failed';
create index if not exists step_held_up on step (scope)
  where error is not null and ended_at is null;
create index entry_kind on entry (kind, seq);
""",
    """
alter table run add column rank integer not null default 0;
create index run_urgent on run (rank, wake_at)
  where rank > 0 and status in ('queued', 'running', 'waiting');
""",
)
"""What makes version n + 1 out of version n, in order."""


def statements(text: str) -> Iterator[str]:
    """One at a time: together they would end the transaction that they are in."""
    return (one for one in text.split(";") if one.strip())


def too_new(path: Path, version: int) -> str:
    return (
        f"{path}: was written by a newer Stockade (version {version}); this one reads version "
        f"{VERSION} at most: upgrade"
    )
