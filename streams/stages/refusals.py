"""Which APIs do not let us in, as the budgets' rows say it: the one place that `/ready` and `status` read, in whatever
process they run.
"""

from collections.abc import Iterable

import msgspec

from adapters import budgets
from domain.vocabulary import API_NAMES, APIS, Api
from projections.store.store import Store
from projections.work.budgets import Budgets


class Refusal(msgspec.Struct, frozen=True):
    """An API that refuses a connection's credentials. `again_at`: when it is tried again; "" while a try is due or
    under way.
    """

    connection: str
    api: Api
    since: str
    why: str
    again_at: str

    @property
    def words(self) -> str:
        """What it is, since when, and what to do."""
        again = f"at {self.again_at}" if self.again_at else "now"
        return (
            f"{API_NAMES[self.api]} has refused {self.connection} since {self.since}: {self.why}; enter credentials "
            f"that are valid with `zoho-gocardless connect {self.connection}`; a running program tries them {again}, "
            f"one that is started tries them at once"
        )


def refusals(store: Store, connections: Iterable[str]) -> list[Refusal]:
    """Every refusal that stands."""
    rows = Budgets(store)
    found: list[Refusal] = []
    for name in sorted(connections):
        for api in APIS:
            row = rows.get(name, api)
            spent = budgets.Spent() if row is None else budgets.decode(row)
            if spent.refused_since:
                found.append(Refusal(name, api, spent.refused_since, spent.refused_why, spent.closed_until))
    return found
