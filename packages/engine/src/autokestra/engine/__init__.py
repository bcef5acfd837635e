"""Plans executions, submits their attempts to a pool, retries and resumes; runs no task itself.

`workflow_engine` begins, resumes and ends an execution, `coordinator` goes through its plan, `decisions` has the
conditions and lists. What is submitted are ids and templates: no value of a secret is known here, and no SQL.
"""

from autokestra.engine.ports import Maskers, Worker
from autokestra.engine.workflow_engine import WorkflowEngine
from autokestra.errors import ExecutionBusyError

__all__ = ["ExecutionBusyError", "Maskers", "Worker", "WorkflowEngine"]
