"""Whatever comes late, in whatever order: frozen lines and corrections together are those of an undisturbed run."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

from engine_bench import Bench
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from late_story import TODAY, Lines, Story, added_up, computed_now
from tallyport.money import plain

USERS = ["ann", "bob", "staff-1"]
EXAMPLES = 8
COUNTERS = {"Last": "last", "Most": "max", "Sum": "sum"}
CATALOG: dict[str, Any] = {
    "services": [{
        "id": "S", "name": "Store",
        "counters": [{"name": name, "unit": "MB", "aggregation": how} for name, how in COUNTERS.items()],
        "plans": [
            {"id": "S-C", "type": "customer_plan", "name": "Site", "currency": "EUR", "properties": {}},
            {"id": "S-U", "type": "user_plan", "name": "Seat", "currency": "EUR",
             "properties": {"sales_price": "0.013", "cost_price": "0.007"}},
        ],
        "overrides": [{"plan": "S-U", "organisation": "shop", "properties": {"sales_price": "0.011"}}],
    }],
    "non_billable": [{"id": "staff", "reason": "staff", "user": "staff*"}],
}  # fmt: skip
_TURNS = count()

AMOUNTS = st.decimals(0, 100, places=3).map(plain)


@st.composite
def models(draw: st.DrawFn) -> dict[str, Any]:
    model = draw(st.sampled_from(["flat", "included", "graduated", "volume", "package"]))
    found: dict[str, Any] = {"model": model}
    low, high = sorted(draw(st.tuples(st.integers(0, 3), st.integers(0, 9))))
    found |= draw(st.sampled_from([{}, {"minimum": str(low)}, {"maximum": str(high)}]))
    if model in {"graduated", "volume"}:
        bounds = sorted(draw(st.sets(st.integers(1, 150), max_size=3)))
        tiers = [{"up_to_inclusive": str(one), "price": draw(AMOUNTS)} for one in bounds]
        found["tiers"] = [*tiers, {"price": draw(AMOUNTS)}]
    if model == "included":
        found["included"] = draw(AMOUNTS)
    if model == "package":
        found["size"] = str(draw(st.integers(1, 40)))
    return found


@dataclass(frozen=True, order=True)
class Sample:
    """A value of a user and day, and before which batch it comes: that of its own day, or a later one."""

    day: int
    hour: int
    user: str
    counter: str
    value: str
    delay: int


@dataclass(frozen=True)
class Case:
    """How many days are billed, who there is and sells, how it is priced, and what is measured."""

    days: int
    above: list[str]
    users: list[str]
    model: dict[str, Any]
    samples: list[Sample]

    def before(self, batch: int) -> list[Sample]:
        """What arrives after the batch before and before this one; at the end everything is there."""
        return [one for one in self.samples if min(one.day + one.delay, self.days) == batch]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    days = draw(st.integers(2, 3))
    users = draw(st.lists(st.sampled_from(USERS), min_size=1, unique=True))
    sample = st.builds(
        Sample,
        day=st.integers(0, days - 1),
        hour=st.integers(0, 23),
        user=st.sampled_from(users),
        counter=st.sampled_from(sorted(COUNTERS)),
        value=AMOUNTS,
        delay=st.integers(0, days),
    )
    at_one_moment_one_value = st.lists(
        sample, min_size=3, max_size=12, unique_by=lambda one: (one.day, one.hour, one.user, one.counter)
    )
    above = draw(st.sampled_from([[], ["shop"], ["shop", "corner"]]))
    return Case(days, above, users, draw(models()), draw(at_one_moment_one_value))


@settings(
    deadline=None,
    max_examples=EXAMPLES,
    phases=[Phase.explicit, Phase.generate],  # each example takes seconds, and days that no other one may bill
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(case=cases())
async def test_whatever_comes_late_the_sums_are_those_of_an_undisturbed_run(bench: Bench, case: Case) -> None:
    catalog = copy.deepcopy(CATALOG)
    catalog["services"][0]["billing_units"] = [
        {"id": name, "plan_type": "user_plan", "unit": "user", "quantity": {"counter": name}, "price_model": case.model}
        for name in COUNTERS
    ]
    story = Story(bench, catalog, TODAY - timedelta(days=300 - 6 * next(_TURNS)))
    story.above = case.above
    await story.begin(*case.users)
    batches: list[Lines] = []
    for batch in range(case.days + 1):
        for one in case.before(batch):
            await story.measure(one.day, {one.user: one.value}, one.counter, one.hour)
        batches.append(await story.batch(batch))
    for n in range(case.days):
        about = [line for line in batches[n] if line["kind"] == "line"]
        about += [line for lines in batches for line in lines if line["corrects"] == str(story.day(n + 1))]
        assert len(added_up(about)) == len(case.users) * len(COUNTERS)
        assert added_up(about) == added_up(await computed_now(story, n))
