"""Plans executions, submits their attempts to a pool, retries and resumes; runs no task itself."""

from autokestra.engine.ports import Maskers, Worker
from autokestra.engine.workflow_engine import WorkflowEngine
from autokestra.errors import ExecutionBusyError

__all__ = ["ExecutionBusyError", "Maskers", "Worker", "WorkflowEngine"]
