"""The state machine: what the table allows, what a request really goes through, and what the documentation draws."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from notifier.actions.states import TRANSITIONS, ImpossibleStepError, State, Step, after, diagram

OPEN = {State.OPEN, State.HALF_CONFIRMED}
NO = {State.DECLINED, State.EXPIRED}
YES = {State.ALLOWED, State.PERFORMED, State.FAILED}


def reachable(start: State) -> set[State]:
    found, left = set[State](), [start]
    while left:
        state = left.pop()
        new = {target for (source, _), target in TRANSITIONS.items() if source is state} - found
        found |= new
        left += new
    return found


def test_no_path_leads_from_no_to_yes_and_none_back_to_a_question() -> None:
    assert all(reachable(state) == set() for state in NO)
    assert reachable(State.ALLOWED) == {State.PERFORMED, State.FAILED}
    assert reachable(State.NEW) == set(State) - {State.NEW}


def test_whatever_is_open_can_run_out_and_be_declined() -> None:
    for state in OPEN:
        assert after(state, Step.TIME_OUT) is State.EXPIRED
        assert after(state, Step.NO) is State.DECLINED


def test_two_people_are_two() -> None:
    """From half confirmed, the first of two does not confirm again, and a new price takes the first word back."""
    assert (State.HALF_CONFIRMED, Step.FIRST_YES) not in TRANSITIONS
    assert after(State.HALF_CONFIRMED, Step.PRICE_MOVED) is State.OPEN


@given(steps=st.lists(st.sampled_from(list(Step)), max_size=30))
def test_any_history_keeps_its_decision(steps: list[Step]) -> None:
    state, decisions = State.NEW, list[str]()
    for step in steps:
        try:
            state = after(state, step)
        except ImpossibleStepError:
            continue
        if state.decision is not None:
            decisions.append(state.decision)
    assert len(set(decisions)) <= 1
    if Step.YES not in steps and Step.PASS not in steps:
        assert state not in YES


class Life(RuleBasedStateMachine):
    """A request to which anything happens in any order, while time goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State.NEW
        self.seen: list[State] = [State.NEW]
        self.minutes = 0
        self.until: int | None = None

    @rule(step=st.sampled_from([one for one in Step if one is not Step.TIME_OUT]))
    def happens(self, step: Step) -> None:
        if (self.state, step) not in TRANSITIONS:
            with pytest.raises(ImpossibleStepError):
                after(self.state, step)
            return
        self.state = after(self.state, step)
        self.until = self.minutes + 60 if step is Step.ASK else self.until
        self.seen.append(self.state)

    @rule(minutes=st.integers(1, 90))
    def time_goes_by(self, minutes: int) -> None:
        self.minutes += minutes
        if self.until is not None and self.minutes >= self.until and (self.state, Step.TIME_OUT) in TRANSITIONS:
            self.state = after(self.state, Step.TIME_OUT)
            self.seen.append(self.state)

    @invariant()
    def nothing_is_open_past_its_time(self) -> None:
        if self.until is not None and self.minutes >= self.until:
            assert self.state not in OPEN

    @invariant()
    def a_no_stays_a_no(self) -> None:
        first_no = next((number for number, state in enumerate(self.seen) if state in NO), None)
        assert first_no is None or not YES & set(self.seen[first_no:])

    @invariant()
    def what_was_decided_stays_decided(self) -> None:
        decided = [state.decision for state in self.seen if state.decision is not None]
        assert len(set(decided)) <= 1


TestLife = Life.TestCase


def test_the_documentation_draws_this_very_table() -> None:
    text = (Path(__file__).parents[3] / "docs" / "gate.md").read_text(encoding="utf-8")
    assert text.count("```mermaid") == 1
    assert text.split("```mermaid\n")[1].split("\n```")[0] == diagram()
