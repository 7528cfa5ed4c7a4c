"""What a fleet promises, whatever its servers, its callers and the names' server do in whatever order."""

from __future__ import annotations

from collections import Counter

import grpc
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from podium.client import RankRefused
from podium.client.stream.conversation import Conversation
from podium.client.stream.effects import Abort, Effect, Open, Settle, Wake
from podium.client.stream.envelope import Answer, Notice
from podium.client.stream.fleet import OPEN_S_MAX, Fleet
from podium.client.stream.target import Address
from podium.v1 import ranking_pb2 as pb
from podium.v1.refusal import RefusalDetails

ADDRESSES = [Address(f"ipv4:10.0.0.{last}:80") for last in (1, 2, 3)]


class Server:
    """One stream as its server sees it."""

    def __init__(self) -> None:
        self.limit = 0
        self.greeted = self.drains = self.over = False
        self.last_id = 0
        self.unanswered: dict[int, int] = {}


class Promises(RuleBasedStateMachine):
    """Tokens are numbers; each is in the line, on a stream, ended, or has left."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.fleet: Fleet[int] = Fleet("ranker:80", streams=2, looks_up=True, draw=lambda: 0.5)
        self.servers: dict[Conversation[int], Server] = {}
        self.unwoken: set[Conversation[int]] = set()
        self.tokens = 0
        self.ended: Counter[int] = Counter()
        self.left: set[int] = set()
        self.sent: Counter[int] = Counter()
        self.closed = False

    def do(self, effects: list[Effect[int]]) -> None:
        for effect in effects:
            if isinstance(effect, Settle):
                self.ended[effect.token] += 1
            elif isinstance(effect, Open):
                assert not self.closed
                self.servers[effect.conversation] = Server()
            elif isinstance(effect, Wake):
                self.unwoken.discard(effect.conversation)
            elif isinstance(effect, Abort):
                self.servers[effect.conversation].over = True

    def streams(self, *, greeted: bool) -> list[Conversation[int]]:
        return [
            stream for stream, server in self.servers.items() if server.greeted is greeted and not server.over
        ]

    def waiting(self) -> list[int]:
        return [token for token in range(self.tokens) if token not in self.left and not self.ended[token]]

    @precondition(lambda self: not self.closed)
    @rule(avoid=st.sampled_from(["", *map(str, ADDRESSES)]))
    def submit(self, avoid: str) -> None:
        self.do(self.fleet.submit(self.tokens, avoid, self.now_s))
        self.tokens += 1

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(self.waiting()))
        self.left.add(token)
        self.do(self.fleet.withdraw(token, self.now_s))

    @precondition(lambda self: self.tokens)
    @rule(addresses=st.lists(st.sampled_from(ADDRESSES), min_size=1, unique=True))
    def resolve(self, addresses: list[Address]) -> None:
        self.do(self.fleet.resolved(addresses, self.now_s))

    @precondition(lambda self: self.tokens)
    @rule()
    def fail_to_resolve(self) -> None:
        self.do(self.fleet.unresolved("no such name", self.now_s))

    @rule(wait_s=st.sampled_from([0.1, 1.0, 10.0]))
    def wait(self, wait_s: float) -> None:
        self.now_s += wait_s
        if self.now_s >= self.fleet.wakes_s:
            self.do(self.fleet.tick(self.now_s))

    @precondition(lambda self: self.streams(greeted=False))
    @rule(data=st.data(), limit=st.integers(1, 3), draining=st.booleans())
    def greet(self, data: st.DataObject, limit: int, draining: bool) -> None:
        stream = data.draw(st.sampled_from(self.streams(greeted=False)))
        self.servers[stream].greeted = True
        self.servers[stream].limit = limit
        self.do(self.fleet.heard(stream, Notice(limit, draining), self.now_s))

    @precondition(lambda self: self.streams(greeted=True))
    @rule(data=st.data())
    def say(self, data: st.DataObject) -> None:
        self.say_all(data.draw(st.sampled_from(self.streams(greeted=True))))

    def say_all(self, stream: Conversation[int]) -> None:
        """The writer of one stream works until there is nothing to say."""
        server = self.servers[stream]
        while (found := stream.next()) is not None:
            number, token = found
            if token is None:
                assert server.unanswered[number] in self.left, "cancelled for somebody who waits"
                continue
            assert not server.drains, "a request after a drain"
            assert number == server.last_id + 1, "an id used again"
            assert token not in self.left, "sent for somebody who has left"
            server.last_id = number
            server.unanswered[number] = token
            self.sent[token] += 1
            assert len(server.unanswered) <= server.limit, "more in flight than the server takes"
        if server.drains:
            assert stream.half_closes == (set(server.unanswered.values()) <= self.left)

    @precondition(lambda self: any(self.servers[stream].unanswered for stream in self.streams(greeted=True)))
    @rule(data=st.data(), ranked=st.booleans())
    def answer(self, data: st.DataObject, ranked: bool) -> None:
        busy = [stream for stream in self.streams(greeted=True) if self.servers[stream].unanswered]
        stream = data.draw(st.sampled_from(busy))
        self.answer_one(stream, data.draw(st.sampled_from(sorted(self.servers[stream].unanswered))), ranked)

    def answer_one(self, stream: Conversation[int], number: int, ranked: bool) -> None:
        token = self.servers[stream].unanswered.pop(number)
        no = RankRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, "", RefusalDetails(kind="overloaded"))
        before = self.ended[token]
        self.do(self.fleet.heard(stream, Answer(number, pb.RankResponse() if ranked else no), self.now_s))
        assert self.ended[token] - before == (token not in self.left)

    @precondition(lambda self: self.streams(greeted=True))
    @rule(data=st.data())
    def drain(self, data: st.DataObject) -> None:
        stream = data.draw(st.sampled_from(self.streams(greeted=True)))
        was_last_resort = stream.phase.name == "LAST_RESORT"
        self.do(self.fleet.heard(stream, Notice(0, draining=True), self.now_s))
        self.servers[stream].drains = not was_last_resort

    @precondition(lambda self: any(not server.over for server in self.servers.values()))
    @rule(data=st.data(), reason=st.sampled_from(["", "SHUTTING_DOWN"]), in_order=st.booleans())
    def end(self, data: st.DataObject, reason: str, in_order: bool) -> None:
        stream = data.draw(st.sampled_from([each for each in self.servers if not self.servers[each].over]))
        self.servers[stream].over = True
        details = RefusalDetails(kind="unready" if reason else "", reason=reason)
        how = None if in_order else RankRefused(grpc.StatusCode.UNAVAILABLE, "gone", details)
        self.do(self.fleet.ended(stream, how, self.now_s))

    @precondition(lambda self: self.tokens > 5 and not self.closed)
    @rule()
    def close(self) -> None:
        self.closed = True
        self.do(self.fleet.close())

    @invariant()
    def nobody_ends_twice(self) -> None:
        assert all(count == 1 for count in self.ended.values())
        assert not self.left & self.ended.keys()

    @invariant()
    def nothing_is_sent_twice(self) -> None:
        assert all(count == 1 for count in self.sent.values())

    def teardown(self) -> None:
        """Once servers answer, everybody who still waits is answered or refused, and a close ends all."""
        if self.tokens and not self.closed:
            for _ in range(100):
                if not self.waiting():
                    break
                self.do(self.fleet.resolved(ADDRESSES, self.now_s))
                for stream in self.streams(greeted=False):
                    self.servers[stream].greeted, self.servers[stream].limit = True, 2
                    self.do(self.fleet.heard(stream, Notice(2, draining=False), self.now_s))
                for stream in self.streams(greeted=True):
                    self.say_all(stream)
                    for number in list(self.servers[stream].unanswered):
                        self.answer_one(stream, number, ranked=True)
                self.wait(OPEN_S_MAX)
            assert [] == self.waiting()
        if not self.closed:
            self.close()
        self.do(self.fleet.abort(self.now_s))
        assert self.fleet.over
        assert [] == self.waiting()
        self.nobody_ends_twice()


TestPromises = Promises.TestCase
TestPromises.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
