"""The inputs of every built-in action. Light: a workflow is checked against these without importing an action.

Names in YAML are camelCase (`expectedStatus`), as in the rest of a workflow. The descriptions are the reference.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator
from pydantic.alias_generators import to_camel

from autokestra.workflow.durations import parse_duration


class Inputs(BaseModel):
    """Base of all inputs: immutable, unknown keys are errors.

    A model is built when it is first used, since a workflow uses one or two of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, defer_build=True)


class ShellInputs(Inputs):
    """Inputs of `core/shell.run`."""

    script: str = Field(
        min_length=1,
        description="The script. It stops at the first command that fails, and in bash at a pipe of which any part "
        "fails (`-eo pipefail`); `set +e` at its beginning turns that off.",
    )
    shell: Literal["bash", "sh"] = Field(default="bash", description="Which shell of the PATH runs the script.")
    workdir: str | None = Field(
        default=None, description="Working directory, relative to that of the workflow file; must exist."
    )


class PythonInputs(Inputs):
    """Inputs of `core/python.run`."""

    script: str = Field(
        min_length=1, description="The script; it finds `inputs`, and what it assigns to `output` is handed on."
    )
    inputs: dict[str, JsonValue] = Field(
        default_factory=dict, description="What the script finds as the dictionary `inputs`."
    )
    python: str | None = Field(
        default=None,
        description="The interpreter, 3.8 or later: a name of the PATH, or a path relative to the workflow file's "
        "directory (`.venv/bin/python`). Default: the one that runs Autokestra.",
    )
    workdir: str | None = Field(
        default=None,
        description="Working directory, relative to that of the workflow file; must exist. Modules in it "
        "can be imported.",
    )


class LogInputs(Inputs):
    """Inputs of `core/console.log`."""

    message: JsonValue = Field(description="What to log: text as it is, anything else as JSON.")
    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="How important it is.")


Duration = Annotated[float, BeforeValidator(parse_duration)]
Scalar = str | int | float | bool | None
Fields = dict[str, Scalar | list[Scalar]]
StatusPattern = Annotated[str, Field(pattern=r"^[1-5](xx|[0-9]{2})$")]
Status = Annotated[int, Field(ge=100, le=599)] | StatusPattern


class BasicAuth(Inputs):
    """User name and password, RFC 7617."""

    username: str = Field(description="User name; may not contain a colon.", pattern="^[^:]*$")
    password: str = Field(description="Password.")


class Auth(Inputs):
    """How the request proves who it is; exactly one of the two."""

    basic: BasicAuth | None = Field(default=None, description="User name and password.")
    bearer: str | None = Field(default=None, description="A token: `Authorization: Bearer …`.", min_length=1)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.basic is None) == (self.bearer is None):
            raise ValueError("give exactly one of basic, bearer")
        return self


class HttpGetInputs(Inputs):
    """Inputs of `core/http.get`."""

    url: str = Field(min_length=1, description="Address, http or https.")
    headers: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Request headers. After a redirect to another origin they are not sent again."
    )
    query: Fields = Field(
        default_factory=dict,
        description="Query parameters, added to those of the address; a list repeats one, null leaves it out.",
    )
    auth: Auth | None = Field(default=None, description="Credentials; not sent to another origin after a redirect.")
    timeout: Duration = Field(
        default=60.0, description="For the whole exchange, in seconds or as `30s`, `5m`, `2h`, `1d`."
    )
    follow_redirects: bool | None = Field(
        default=None, description="Default: true for GET and HEAD, false for other methods."
    )
    verify: bool = Field(default=True, description="Check the certificate of the server. False is logged as a warning.")
    ca_bundle: str | None = Field(
        default=None,
        description="PEM file of the only authorities to trust, relative to the workflow file's directory. Default: "
        "`SSL_CERT_FILE` if `passEnv` lists it, else the list of Mozilla (certifi).",
    )
    expected_status: Status | list[Status] = Field(
        default="2xx", description="Which answers are a success: `200`, `2xx`, `[200, 404]`."
    )

    @model_validator(mode="after")
    def _one_authorization(self) -> Self:
        if self.auth is not None and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError("give either auth or an Authorization header")
        return self


class HttpRequestInputs(HttpGetInputs):
    """Inputs of `core/http.request`."""

    method: str = Field(default="GET", pattern="^[A-Z]+$", description="Method, in capitals.")
    json_body: JsonValue = Field(default=None, alias="json", description="Body, sent as application/json.")
    form: Fields | None = Field(default=None, description="Body, sent as application/x-www-form-urlencoded.")
    body: str | None = Field(default=None, description="Body, sent as it is in UTF-8.")

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        given = [name for name in ("json_body", "form", "body") if name in self.model_fields_set]
        if len(given) > 1:
            raise ValueError("give at most one of json, form, body")
        return self


class SleepInputs(Inputs):
    """Inputs of `core/sleep`."""

    duration: Duration = Field(description="How long, in seconds or as `30s`, `5m`, `2h`, `1d`.")


class AssertInputs(Inputs):
    """Inputs of `core/assert`."""

    that: JsonValue = Field(description="What must be true: an expression (`{{ tasks.count.output > 0 }}`) or a list.")
    message: str = Field(default="", description="What to say when it is not.")


class FileReadInputs(Inputs):
    """Inputs of `core/file.read`."""

    path: str = Field(min_length=1, description="The file, relative to the workflow file's directory.")
    encoding: Literal["text", "base64", "json"] = Field(
        default="text", description="What the output's `content` is: UTF-8 text, base64 of the bytes, or parsed JSON."
    )


class FileWriteInputs(Inputs):
    """Inputs of `core/file.write`."""

    path: str = Field(min_length=1, description="The file, relative to the workflow file's directory.")
    content: JsonValue = Field(description="Text; with `base64` the bytes it stands for, with `json` any value.")
    encoding: Literal["text", "base64", "json"] = Field(default="text", description="How `content` is to be read.")
    mode: Annotated[str, Field(pattern="^0?[0-7]{3}$")] = Field(
        default="0644", description="Permissions, in octal and in quotes. Those of a file that holds a secret: 0600."
    )
    create_directories: bool = Field(default=False, description="Make missing directories above it.")


class SqlInputs(Inputs):
    """Inputs of `core/sql.query`."""

    database: str = Field(
        min_length=1,
        description="`sqlite:///FILE` (relative to the workflow file's directory), `sqlite:///:memory:`, or "
        "`postgresql://user:password@host/name`.",
    )
    sql: str = Field(
        min_length=1, description="One statement. Values are written as `:name` and given as parameters, never as text."
    )
    parameters: dict[str, JsonValue] = Field(default_factory=dict, description="The value of each `:name`.")
    max_rows: Annotated[int, Field(ge=1)] = Field(default=10_000, description="With more rows the task fails.")
    timeout: Duration = Field(default=60.0, description="For the statement, in seconds or as `30s`, `5m`.")
    create: bool = Field(default=False, description="Make a SQLite file that does not exist.")


class SubWorkflowInputs(Inputs):
    """Inputs of `core/workflow.run`."""

    file: str = Field(min_length=1, description="The workflow file, relative to this one's directory.")
    inputs: dict[str, JsonValue] = Field(default_factory=dict, description="Its inputs.")
