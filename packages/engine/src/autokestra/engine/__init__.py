"""Plans executions, submits their attempts to a pool, retries and resumes; runs no task itself."""

from autokestra.engine.ports import ExecutionBusyError, Maskers, Worker
from autokestra.engine.workflow_engine import WorkflowEngine

__all__ = ["ExecutionBusyError", "Maskers", "Worker", "WorkflowEngine"]
