"""Oracles: what both simulators hold beside what our store and log say, and what is wrong with that.

```
gather(store, log=…, gocardless=…, zoho=…, …)    all that an oracle is given for one connection: an `Evidence`
breaches_meanwhile(evidence)                     may be asked at any moment of a run
breaches(evidence)                               asked at its end: the faults are over, and time to heal was given
rebuild_breaches(log, …)                         a store made anew from the log is the live one; of an intact log only
```
Each oracle is a pure function of the evidence.
"""

from streams.simulation.oracles.breach import Breach, Oracle
from streams.simulation.oracles.evidence import Act, Evidence, gather
from streams.simulation.oracles.rebuilt import rebuild_breaches
from streams.simulation.oracles.table import ORACLES, ORACLES_ALWAYS, breaches, breaches_meanwhile

__all__ = [
    "ORACLES",
    "ORACLES_ALWAYS",
    "Act",
    "Breach",
    "Evidence",
    "Oracle",
    "breaches",
    "breaches_meanwhile",
    "gather",
    "rebuild_breaches",
]
