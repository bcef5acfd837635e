"""SecretMasker: who owns a value, what is counted, what children see, and what cannot be masked."""

import subprocess
import sys
import threading

import pytest

from autokestra_secrets import InvalidSettingError, SecretMasker, SecretValue, maskability, placeholder_from

TOKEN = "hunter2-of-the-day"


def test_text_bytes_and_secret_values_are_masked_alike():
    for value in (TOKEN, TOKEN.encode(), SecretValue(TOKEN)):
        masker = SecretMasker()
        masker.add(value, "TOKEN")
        assert masker.mask(f"<{TOKEN}>") == "<***SECRET***>"
        assert masker.mask(f"<{TOKEN}>".encode()) == b"<***SECRET***>"


def test_an_empty_masker_changes_nothing_and_loads_no_finder():
    program = (
        "import sys\n"
        "from autokestra_secrets import SecretMasker\n"
        "masker = SecretMasker()\n"
        "assert masker.mask('text') == 'text' and masker.stream().feed(b'bytes') == b'bytes'\n"
        "assert 'hyperscan' not in sys.modules, 'loaded for nothing'\n"
        "masker.add('hunter2-of-the-day')\n"
        "assert 'hyperscan' not in sys.modules, 'loaded before there is anything to search'\n"
        "assert masker.mask('hunter2-of-the-day') == '***SECRET***'\n"
        "assert 'hyperscan' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_text_without_a_value_comes_back_as_the_same_object():
    text = "nothing to see"
    assert SecretMasker([TOKEN]).mask(text) is text


def test_text_with_lone_surrogates_passes_through():
    masker = SecretMasker([TOKEN, b"\xff\xfe-secret"])
    assert masker.mask(f"\ud800 {TOKEN}") == "\ud800 ***SECRET***"
    assert masker.mask("\udcff\udcfe-secret \udc80") == "***SECRET*** \udc80"


def test_counts_say_name_and_form():
    masker = SecretMasker()
    masker.add(TOKEN, "TOKEN")
    masker.add("another-one-entirely")
    masker.mask(f"{TOKEN} {TOKEN} another-one-entirely aHVudGVyMi1vZi10aGUtZGF5")
    assert masker.counts == {"TOKEN": {"base64": 1, "plain": 2}, "unnamed": {"plain": 1}}


def test_uncounted_masking_leaves_the_counts():
    masker = SecretMasker([TOKEN])
    assert masker.mask(TOKEN, counted=False) == "***SECRET***"
    assert masker.counts == {}


def test_overlapping_values_are_one_replacement_and_both_are_counted():
    masker = SecretMasker()
    masker.add("abcd-efgh", "FIRST")
    masker.add("efgh-ijkl", "SECOND")
    masker.add("cd-ef", "WITHIN")
    assert masker.mask("x abcd-efgh-ijkl y") == "x ***SECRET*** y"
    assert masker.counts == {"FIRST": {"plain": 1}, "SECOND": {"plain": 1}}


def test_one_value_under_two_names_is_counted_for_both_and_named_by_both():
    masker = SecretMasker(placeholder="<{name}>")
    masker.add(TOKEN, "B")
    masker.add(TOKEN, "A")
    masker.add(TOKEN, "A")
    assert masker.mask(TOKEN) == "<A+B>"
    assert masker.counts == {"A": {"plain": 1}, "B": {"plain": 1}}


def test_the_placeholder_names_the_secret():
    masker = SecretMasker(["no-name-at-all"], placeholder="[{name}]")
    masker.add(TOKEN, "TOKEN")
    assert masker.mask(f"{TOKEN} no-name-at-all") == "[TOKEN] [SECRET]"
    assert masker.placeholder == "[{name}]"


@pytest.mark.parametrize("value", ["SECRET", "***SECRET***", "x***SECRET***x", "***", "****"])
def test_a_value_like_the_placeholder_works(value):
    assert SecretMasker([value], min_length=1).mask(f"<{value}>") == "<***SECRET***>"


def test_the_placeholder_comes_from_the_environment():
    assert placeholder_from({}) == "***SECRET***"
    assert placeholder_from({"AUTOKESTRA_MASK": ""}) == "***SECRET***"
    assert placeholder_from({"AUTOKESTRA_MASK": "<{name}>"}) == "<{name}>"
    for bad in ("line\nfeed", "x" * 65):
        with pytest.raises(InvalidSettingError, match="expected at most 64 printable characters"):
            placeholder_from({"AUTOKESTRA_MASK": bad})


def test_what_cannot_be_masked_safely_is_listed_by_name_and_reason():
    masker = SecretMasker()
    masker.add("abc", "SHORT")
    masker.add("  \n ", "BLANK")
    masker.add("True", "WORD")
    masker.add("", "EMPTY")
    masker.add(TOKEN, "GOOD")
    child = masker.child()
    child.add("x", "OWN")
    expected = {"BLANK": "only whitespace", "SHORT": "shorter than 4 bytes", "WORD": "a word that logs are full of"}
    assert masker.unmaskable == expected
    assert child.unmaskable == expected | {"OWN": "shorter than 4 bytes"}
    assert masker.mask("abc True") == "abc True"


@pytest.mark.parametrize(
    ("value", "min_length", "reason"),
    [
        (b"", 4, "empty"),
        (b" \t\n", 1, "only whitespace"),
        (b"abc", 4, "shorter than 4 bytes"),
        (b" abc ", 4, "shorter than 4 bytes"),
        ("äö".encode(), 5, "shorter than 5 bytes"),
        ("äö".encode(), 4, None),
        (b"FALSE", 4, "a word that logs are full of"),
        (b"null", 4, "a word that logs are full of"),
        (b"null", 1, None),
        (b"a", 1, None),
        (b"1234", 4, None),
    ],
)
def test_maskability(value, min_length, reason):
    assert maskability(value, min_length=min_length) == reason


def test_a_child_that_shares_tells_its_parent_and_so_the_other_children():
    parent = SecretMasker()
    child, other = parent.child(shares=True), parent.child()
    child.add("minted-by-a-child", "M")
    child.child(shares=True).add("minted-by-a-grandchild")
    for masker in (parent, child, other):
        assert masker.mask("minted-by-a-child minted-by-a-grandchild") == "***SECRET*** ***SECRET***"


def test_a_child_sees_its_parents_values_also_later_ones_and_keeps_its_own():
    parent = SecretMasker(placeholder="<{name}>")
    child = parent.child()
    assert child.mask("parent-late-value child-own-value") == "parent-late-value child-own-value"
    parent.add("parent-late-value", "P")
    child.add("child-own-value", "C")
    grandchild = child.child()
    for masker in (child, grandchild):
        assert masker.mask("parent-late-value child-own-value") == "<P> <C>"
    assert parent.mask("parent-late-value child-own-value") == "<P> child-own-value"
    assert parent.child().mask("child-own-value") == "child-own-value"
    assert grandchild.counts == {"C": {"plain": 1}, "P": {"plain": 1}}
    assert child.counts == {"C": {"plain": 2}, "P": {"plain": 2}}
    assert parent.counts == {"C": {"plain": 2}, "P": {"plain": 3}}


def test_a_value_added_in_mid_stream_counts_for_what_is_not_released():
    masker = SecretMasker(["alphabet soup"])
    stream = masker.stream()
    assert stream.feed(b"x alpha") == b"x "
    masker.add("phab")
    assert stream.feed(b"bet salad") == b"al***SECRET***et salad"
    assert stream.flush() == b""


def test_late_values_go_to_a_small_index_that_is_merged_when_it_has_grown():
    masker = SecretMasker([f"value-number-{number:04}" for number in range(300)])
    masker.mask("built now")
    sizes = []
    for number in range(300, 360):
        masker.add(f"value-number-{number:04}")
        sizes.append([len(index.forms) for index in masker.indexes()])
    assert max(map(len, sizes)) <= 3
    assert len(sizes[0]) == 2
    assert sizes[0][0] > 8 * sizes[0][-1]
    assert sizes[-1][0] > sizes[0][0]
    for number in range(360):
        assert masker.mask(f"value-number-{number:04}") == "***SECRET***"


def test_clear_forgets_values_and_keeps_counts():
    masker = SecretMasker([TOKEN])
    masker.mask(TOKEN)
    masker.clear()
    assert masker.mask(TOKEN) == TOKEN
    assert masker.counts == {"unnamed": {"plain": 1}}
    masker.add(TOKEN, "AGAIN")
    assert masker.mask(TOKEN) == "***SECRET***"


def test_what_a_stream_holds_when_its_masker_is_cleared_is_still_masked():
    masker = SecretMasker([TOKEN, TOKEN + "-and-more"])
    stream, child_stream = masker.stream(), masker.child().stream()
    for each in (stream, child_stream):
        assert each.feed(f"x {TOKEN}".encode()) == b"x "
    masker.clear()
    assert stream.feed(b" y ") == b"***SECRET*** y "
    assert child_stream.flush() == b"***SECRET***"
    assert stream.feed(TOKEN.encode()) + stream.flush() == TOKEN.encode()


def test_a_stream_goes_on_after_a_flush():
    stream = SecretMasker([TOKEN]).stream()
    assert stream.feed(b"hunter2") + stream.flush() == b"hunter2"
    assert stream.feed(b"-of-the-day " + TOKEN.encode()) == b"-of-the-day ***SECRET***"


def test_many_threads_add_and_mask_and_stream_at_once():
    masker = SecretMasker([TOKEN])
    faults = []

    def work(number):
        stream = masker.child().stream(commands=True)
        out = []
        for step in range(40):
            value = f"value-{number}-{step}-of-a-thread"
            masker.add(value, f"T{number}")
            out.append(stream.feed(f"{TOKEN} {value}\n::add-mask::own-{value}\nown-{value}\n".encode()))
            if masker.mask(f"<{value}>") != "<***SECRET***>":
                faults.append(value)
        text = b"".join(out) + stream.flush()
        if text != b"***SECRET*** ***SECRET***\n***SECRET***\n" * 40:
            faults.append(text)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert masker.counts["unnamed"] == {"plain": 200}
    assert masker.mask("own-value-0-0-of-a-thread") != "***SECRET***"


def test_who_asked_is_told_what_is_added_to_a_child() -> None:
    told: list[tuple[bytes, str]] = []
    parent = SecretMasker(["of-the-parent"])
    child = parent.child(told=lambda value, name: told.append((value, name)))
    child.add("of-the-child", "NAME")
    child.add("abc")  # too short to be masked
    child.stream(commands=True).feed(b"::add-mask::by-a-command\n")
    parent.add("later-of-the-parent")
    assert [(b"of-the-child", "NAME"), (b"by-a-command", "add-mask")] == told
    child.child(shares=True).add("of-a-grandchild")
    assert (b"of-a-grandchild", "unnamed") == told[-1]
