"""What `run` logs: JSON lines on stderr; of an exception its type and place, of a library its fixed text, never a
value.
"""

import json
import subprocess
import sys

CODE = """
import logging, structlog
from streams.cli.run import log_to_stderr
log_to_stderr()
journal = structlog.get_logger("zoho_gocardless")
journal.debug("not.shown")
journal.info("gateway.started", port=1)
try:
    {}["customer@example.test"]
except KeyError:
    journal.exception("core.set_aside", connection="acme")
logging.getLogger("aiokafka").warning("cannot reach %s", "customer@example.test")
try:
    raise ValueError("customer@example.test")
except ValueError:
    logging.getLogger("mode").error("crashed: %r", "customer@example.test", exc_info=True)
logging.getLogger("faust").info("chatter")
"""


def test_lines_hold_no_values():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "customer@example.test" not in done.stderr
    started, aside, warned, crashed = [json.loads(line) for line in done.stderr.splitlines()]
    assert (started["event"], started["level"], started["port"]) == ("gateway.started", "info", 1)
    assert (aside["event"], aside["fault"], aside["connection"]) == ("core.set_aside", "KeyError", "acme")
    assert aside["at"] == ["<string>:9 <module>"]
    assert (warned["library"], warned["text"], warned["level"]) == ("aiokafka", "cannot reach %s", "warning")
    assert (crashed["fault"], crashed["text"]) == ("ValueError", "crashed: %r")
