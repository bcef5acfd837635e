"""Shell files of assignments: what is read, and what needs a shell and is refused."""

import pytest

from autokestra.cli.imports import parse
from autokestra.errors import UsageError


def shell(text: str) -> dict[str, str]:
    return {name: value.reveal() for name, value in parse(text, origin="vars.sh", file_format="shell").items()}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("export A='b'", "b"),
        ("A=b", "b"),
        ("A=b;", "b"),
        ("  export\tA=b  # a comment", "b"),
        ('declare -x A="b"', "b"),
        ("A=b#c", "b#c"),
        ("A=#c", "#c"),
        ("A='it'\\''s'", "it's"),
        ("A='a'\"b\"c\\ d", "abc d"),
        ("A='$HOME `id` \\n \"q\"'", '$HOME `id` \\n "q"'),
        (r'A="a \"q\" \\ \$HOME \`id\` \n"', r'a "q" \ $HOME `id` \n'),
        ("A='one\ntwo\n'", "one\ntwo\n"),
        ('A="one\\\ntwo"', "onetwo"),
        ("A=one\\\ntwo", "onetwo"),
        ("A=\\$x", "$x"),
        ("A='a\r\nb'", "a\r\nb"),
        ("A=postgres://u:p@h/d?x=1,2", "postgres://u:p@h/d?x=1,2"),
    ],
)
def test_a_value_is_read_as_a_shell_would(line: str, value: str) -> None:
    assert {"A": value} == shell(line)
    assert {"A": value, "B": "c"} == shell(f"# head\n\n{line}\nexport B='c'\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A='b'\necho hello", "vars.sh:2: expected export NAME='VALUE'"),
        ("A='b'\nB='c", "vars.sh:2: the quote ' is not closed"),
        ('A="b', 'vars.sh:1: the quote " is not closed'),
        ("A='x\n\n'\nB=$HOME", "vars.sh:4: this needs a shell to be understood"),
        ('A="x$(id)"', "vars.sh:1: this needs a shell to be understood"),
        ("A=`id`", "vars.sh:1: this needs a shell to be understood"),
        ("A=$'a'", "vars.sh:1: this needs a shell to be understood"),
        ("A=b c", "vars.sh:1: there is text after the value"),
        ("A=b && rm x", "vars.sh:1: there is text after the value"),
        ("A=(b)", "vars.sh:1: there is text after the value"),
        ("A=b\nA=c", "vars.sh:2: 'A' is already in line 1"),
        ("A=''", "vars.sh:1: 'A': secret value cannot be empty"),
        ("A=b\\", "vars.sh:1: there is text after the value"),
        ("a-b=c", "vars.sh:1: expected export NAME='VALUE'"),
        ("# nothing", "vars.sh: no secrets in it"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_nothing_of_the_value(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        shell(text)
    assert said == caught.value.message
