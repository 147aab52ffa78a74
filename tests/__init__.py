"""Tests: a package, so that they can share their stand-ins (`tests.fake_clock`)."""
