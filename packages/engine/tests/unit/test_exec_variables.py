"""Which secret becomes which variable: names, patterns, renames, and what no program can be given."""

import errno

import pytest

from autokestra.cli.exec import command
from autokestra.cli.exec.variables import VARIABLE_BYTES, choose, environment, unusable, variable_for
from autokestra.errors import UsageError
from autokestra_secrets import InvalidSecretNameError, SecretValue

NAMES = ["A", "DB_USER", "DB_PASSWORD", "smtp-password", "1st", "AUTOKESTRA_X"]


def test_without_a_choice_all_that_can_be_variables_are() -> None:
    choice = choose(NAMES)
    assert {"A": "A", "DB_PASSWORD": "DB_PASSWORD", "DB_USER": "DB_USER"} == choice.variables
    assert {"smtp-password", "1st", "AUTOKESTRA_X"} == set(choice.left_out)
    assert frozenset() == choice.named


@pytest.mark.parametrize(
    ("only", "variables"),
    [
        (["A"], {"A": "A"}),
        (["A,DB_USER"], {"A": "A", "DB_USER": "DB_USER"}),
        (["A", "DB_USER"], {"A": "A", "DB_USER": "DB_USER"}),
        (["A, A"], {"A": "A"}),
        (["DB_*"], {"DB_PASSWORD": "DB_PASSWORD", "DB_USER": "DB_USER"}),
        (["?"], {"A": "A"}),
        (["ABSENT"], {"ABSENT": "ABSENT"}),
        (["P=smtp-password"], {"P": "smtp-password"}),
        (["P=A,Q=A"], {"P": "A", "Q": "A"}),
    ],
)
def test_a_choice_is_names_patterns_and_renames(only: list[str], variables: dict[str, str]) -> None:
    assert variables == choose(NAMES, only=only).variables


def test_a_prefix_goes_before_names_and_not_before_renames() -> None:
    choice = choose(NAMES, only=["A", "DB_U*", "X=1st"], prefix="TF_VAR_")
    assert {"TF_VAR_A": "A", "TF_VAR_DB_USER": "DB_USER", "X": "1st"} == choice.variables


def test_a_prefix_can_make_a_variable_of_what_begins_with_a_digit() -> None:
    assert {"_1st": "1st"} == choose(["1st"], prefix="_").variables


@pytest.mark.parametrize(
    ("only", "prefix", "said", "hint"),
    [
        (["smtp-password"], "", "secret 'smtp-password' cannot be passed", "--only SMTP_PASSWORD=smtp-password"),
        (["1st"], "", "secret '1st' cannot be passed", "--only _1ST=1st"),
        (["AUTOKESTRA_X"], "", "is never passed on", "--only X=AUTOKESTRA_X"),
        (["AUTOKESTRA_Y=A"], "", "is never passed on", None),
        (["A"], "AUTOKESTRA_", "is never passed on", None),
        (["=A"], "", "cannot be passed under this name", None),
        (["A=DB_USER,A"], "", "both 'DB_USER' and 'A' would be the variable 'A'", None),
        (["NO*"], "", "no secret matches the pattern", "workflow secrets list"),
    ],
)
def test_what_cannot_be_chosen_comes_with_the_way_out(
    only: list[str], prefix: str, said: str, hint: str | None
) -> None:
    with pytest.raises(UsageError) as caught:
        choose(NAMES, only=only, prefix=prefix)
    assert said in caught.value.message
    if hint:
        assert hint in (caught.value.hint or "")


@pytest.mark.parametrize("only", [["my key"], [""], ["A,,B"], ["X="]])
def test_a_bad_name_is_a_bad_name(only: list[str]) -> None:
    with pytest.raises(InvalidSecretNameError):
        choose(NAMES, only=only)


def test_the_environment_is_ours_without_our_settings_and_with_the_secrets() -> None:
    base = {b"PATH": b"/bin", b"A": b"old", b"AUTOKESTRA_SECRET_KEY": b"akey1-", b"\xff": b"\xfe"}
    environ, left_out = environment(base, choose(["A"]), {"A": SecretValue("new")})
    assert {b"PATH": b"/bin", b"A": b"new", b"\xff": b"\xfe"} == environ
    assert {} == left_out


@pytest.mark.parametrize("value", [b"a\0b", b"x" * (VARIABLE_BYTES - len("A=\0") + 1)])
def test_a_value_that_no_variable_can_hold_is_left_out_unless_it_was_named(value: bytes) -> None:
    environ, left_out = environment({}, choose(["A"]), {"A": SecretValue(value)})
    assert ({}, {"A"}) == (environ, set(left_out))
    with pytest.raises(UsageError, match="'A' cannot be passed"):
        environment({}, choose(["A"], only=["A"]), {"A": SecretValue(value)})


def test_the_largest_value_is_passed() -> None:
    value = b"x" * (VARIABLE_BYTES - len("A=\0"))
    assert {b"A": value} == environment({}, choose(["A"]), {"A": SecretValue(value)})[0]


@pytest.mark.parametrize("name", ["a", "smtp-password", "1-2", "AUTOKESTRA_X", "AUTOKESTRA_", "AUTOKESTRA_1"])
def test_the_name_that_is_proposed_can_be_used(name: str) -> None:
    assert unusable(variable_for(name)) is None


def test_each_failure_to_start_has_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert 127 == command._report_start("prog", errno.ENOENT)
    assert 126 == command._report_start("prog", errno.E2BIG)
    assert 126 == command._report_start("prog", errno.EACCES)
    said = capsys.readouterr().err
    assert "error: no such program\n" in said
    assert "prog'" not in said
    assert "choose fewer secrets with --only" in said
    assert "permission denied" in said
