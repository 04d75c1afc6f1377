"""Ask Tallyport before an action that raises a customer's bill, and perform it only when it is allowed."""

from tallyport_gate.asynchronous import AsyncGate
from tallyport_gate.errors import (
    ConflictError,
    DeclinedError,
    GateError,
    RejectedError,
    UnavailableError,
    UndecidedError,
)
from tallyport_gate.model import Action, Actor, Decision, Permit, PlanAdded, PlanChanged
from tallyport_gate.synchronous import Gate

__all__ = [
    "Action", "Actor", "AsyncGate", "ConflictError", "Decision", "DeclinedError", "Gate", "GateError", "Permit",
    "PlanAdded", "PlanChanged", "RejectedError", "UnavailableError", "UndecidedError",
]  # fmt: skip
