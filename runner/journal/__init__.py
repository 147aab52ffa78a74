"""What was decided and done: records, intents and outcomes, subjects, ledger, watermarks, chain.

The only room that knows how records are kept. A caller opens a transaction (`Journal.write()` or
`Journal.read()`) and passes it to the functions of `cases`, `runs`, `approvals`, `ledger` and
`polls`; nothing outside this package sees a query. No transaction is held across a call to a
product.
"""

from runner.journal.faults import JournalError
from runner.journal.store import Fenced, Journal
from runner.journal.transaction import Tx

__all__ = ["Fenced", "Journal", "JournalError", "Tx"]
