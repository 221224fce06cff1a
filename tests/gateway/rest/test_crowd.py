"""Crowd: who gives way to a newcomer."""

import asyncio
import resource

import pytest

from gateway.rest.crowd import RESERVED, Crowd, raise_limit


class Transport(asyncio.Transport):
    """Notes that it was cut off."""

    is_cut = False

    def abort(self) -> None:
        self.is_cut = True


class Connection:
    def __init__(self) -> None:
        self.transport = Transport()


def cut(connections: list[Connection]) -> list[int]:
    return [place for place, one in enumerate(connections) if one.transport.is_cut]


def test_who_waits_longest_gives_way_and_nobody_while_there_is_room() -> None:
    crowd, connections = Crowd(most=3), [Connection() for _ in range(3)]
    for one in connections:
        crowd.join(one)
    crowd.make_room(3)
    assert cut(connections) == []
    crowd.make_room(4)
    assert cut(connections) == [0]
    crowd.make_room(4)
    assert cut(connections) == [0, 1]


def test_who_is_owed_an_answer_stays() -> None:
    crowd, connections = Crowd(most=1), [Connection(), Connection()]
    for one in connections:
        crowd.join(one)
    crowd.leave(connections[0])
    for _ in range(3):
        crowd.make_room(3)
    assert cut(connections) == [1]


def test_it_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    crowd = Crowd(most=1)
    for _ in range(10):
        crowd.join(Connection())
        crowd.make_room(2)
    assert len(caplog.records) == 1


def test_all_descriptors_are_taken_and_some_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in, since a process cannot take back what it raised."""
    limits = [(256, 1024)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))
    assert raise_limit() == 1024 - RESERVED
    assert limits[-1] == (1024, 1024)


def test_where_no_more_may_be_had_it_makes_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int, limit: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_limit() == 256 - RESERVED
