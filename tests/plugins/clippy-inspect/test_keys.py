"""What lets a browser in: once for each link, in every process that knows the secret, and nobody who made it up."""

from __future__ import annotations

import pytest
from clippy_inspect import Inspect
from clippy_inspect.keys import LINK_SECONDS, SESSION_SECONDS, Keys, Once, lasting


def test_a_link_lets_one_browser_in_once() -> None:
    keys = Keys()
    code = keys.code()
    session = keys.entered(code)
    assert session is not None
    assert keys.session(session.cookie) == session
    assert keys.entered(code) is None
    other = keys.entered(keys.code())
    assert other is not None
    assert {session.cookie, session.csrf}.isdisjoint({other.cookie, other.csrf})


def test_processes_with_one_secret_let_in_the_same_browsers_and_each_link_once_among_them() -> None:
    """Also one that was started after the browser came."""
    once = Once()
    first, second = Keys(b"s" * 32, once), Keys(b"s" * 32, once)
    code = first.code()
    session = second.entered(code)
    assert session is not None
    assert first.session(session.cookie) == session
    assert first.entered(code) is None


def test_another_secret_lets_nobody_in() -> None:
    ours, theirs = Keys(), Keys()
    session = theirs.entered(theirs.code())
    assert session is not None
    assert ours.session(session.cookie) is None
    assert ours.entered(theirs.code()) is None


def test_a_link_is_no_cookie_and_a_cookie_no_link() -> None:
    keys = Keys()
    session = keys.entered(keys.code())
    assert session is not None
    assert keys.session(keys.code()) is None
    assert keys.session(session.csrf) is None
    assert not keys.is_good(session.cookie)


@pytest.mark.parametrize("place", range(0, 70, 7))
def test_a_link_of_which_a_sign_was_changed_is_none(place: int) -> None:
    """So nobody makes its time longer."""
    keys = Keys()
    code = keys.code()
    for sign in "0fZ_é":
        if code[place] != sign:
            assert not keys.is_good(code[:place] + sign + code[place + 1 :])
    assert not keys.is_good(code[:place])
    assert not keys.is_good("0" + code)


def test_what_was_used_is_remembered_as_long_as_it_would_be_good_and_no_longer() -> None:
    now = [1000.0]
    once = Once(now=lambda: now[0])
    assert [once("a", 600.0), once("a", 600.0), once("b", 600.0)] == [True, False, True]
    now[0] += LINK_SECONDS
    assert not once("a", 600.0)
    now[0] += 1
    assert once("c", 600.0)
    assert set(once._until) == {"c"}


def test_with_a_token_a_browser_stays_let_in_when_the_program_starts_again_and_a_used_link_is_no_good() -> None:
    """Its page can act as before, too.  Another token throws everybody out."""
    before, after = Keys(lasting=lasting("a" * 24)), Keys(lasting=lasting("a" * 24))
    code = before.code()
    session = before.entered(code)
    assert session is not None
    assert after.session(session.cookie) == session
    assert after.entered(code) is None
    assert Keys(lasting=lasting("b" * 24)).session(session.cookie) is None


def test_the_token_of_the_configuration_is_such_a_token_and_without_one_each_start_is_its_own() -> None:
    first, second = (Inspect(enabled=True, token="a" * 24)._door(8765).keys for _ in range(2))
    assert second.session(first.begun().cookie) is not None
    first, second = (Inspect(enabled=True)._door(8765).keys for _ in range(2))
    assert second.session(first.begun().cookie) is None


def test_a_browser_is_let_in_for_seven_days() -> None:
    now = [1e9]
    keys = Keys(today=lambda: now[0])
    cookie = keys.begun().cookie
    now[0] += SESSION_SECONDS
    assert keys.session(cookie) is not None
    now[0] += 1
    assert keys.session(cookie) is None
