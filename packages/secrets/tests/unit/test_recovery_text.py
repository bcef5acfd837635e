"""A key as a person types it from paper: every slip is noticed, and most are pointed at."""

import pytest

from autokestra_secrets import InvalidKeyError, MasterKey
from autokestra_secrets.recovery import recovery_text

RAW = bytes(range(32))
TEXT = recovery_text(RAW)
GROUPS = TEXT.split("-")[1:]
LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def parse(text):
    return MasterKey.parse(text.encode(), source="the page")


def test_the_text_is_fourteen_groups_of_five():
    assert ("akey2", 14, {5}) == (TEXT.split("-")[0], len(GROUPS), set(map(len, GROUPS)))
    assert set(LETTERS) >= set("".join(GROUPS))
    assert "akey2-000GG-40R41-" == TEXT[:18]


@pytest.mark.parametrize("key", [RAW, bytes(32), b"\xff" * 32, bytes(range(100, 132))])
def test_a_key_comes_back(key):
    assert MasterKey(key, kind="key", source="test") == parse(recovery_text(key))


@pytest.mark.parametrize(
    "written",
    [TEXT.lower(), TEXT.upper(), TEXT.replace("-", " "), "akey2-" + "".join(GROUPS), TEXT + "\n", f"{TEXT} - "],
)
def test_case_spaces_and_dashes_do_not_matter(written):
    assert parse(TEXT) == parse(written)


def test_letters_that_look_alike_are_taken_for_one_another():
    text = recovery_text(bytes([0, 0, 0, 8, 33] * 6 + [1, 0]))
    assert parse(text) == parse("akey2" + text[5:].replace("0", "O").replace("1", "l"))
    assert parse(text) == parse("akey2" + text[5:].replace("0", "o").replace("1", "I"))


def test_each_single_wrong_letter_is_noticed_in_its_group():
    for place in range(len(TEXT) - 6):
        at = place + 6
        if TEXT[at] == "-":
            continue
        for letter in (*LETTERS, "U", "*"):
            if letter != TEXT[at]:
                with pytest.raises(InvalidKeyError) as caught:
                    parse(TEXT[:at] + letter + TEXT[at + 1 :])
                assert f"look at group {place // 6 + 1} of 14" == caught.value.hint
                assert GROUPS[place // 6] not in str(caught.value)


def test_neighbours_that_changed_places_are_noticed():
    for at in range(6, len(TEXT) - 1):
        swapped = TEXT[:at] + TEXT[at + 1] + TEXT[at] + TEXT[at + 2 :]
        if swapped.replace("-", "") != TEXT.replace("-", ""):
            with pytest.raises(InvalidKeyError):
                parse(swapped)


def test_what_the_check_letters_let_pass_the_checksum_does_not():
    """Neighbours that differ by 16 may change places within a group, and its check letter stays right."""
    first, *rest = recovery_text(bytes([0b00001_100, 0b01_000000]) + bytes(30)).split("-")[1:]
    assert "1H00" == first[:4]
    with pytest.raises(InvalidKeyError, match="mistyped") as caught:
        parse("-".join(("akey2", "H1" + first[2:], *rest)))
    assert "changed places" in caught.value.hint


def test_groups_that_changed_places_or_are_missing_are_noticed():
    for one in range(14):
        for two in range(one):
            changed = [*GROUPS]
            changed[one], changed[two] = changed[two], changed[one]
            with pytest.raises(InvalidKeyError):
                parse("-".join(("akey2", *changed)))
    for count in range(14):
        with pytest.raises(InvalidKeyError):
            parse("-".join(("akey2", *GROUPS[:count])) if count else "akey2-")
    with pytest.raises(InvalidKeyError, match="mistyped or cut short"):
        parse(TEXT[:-1])
    with pytest.raises(InvalidKeyError) as caught:
        parse(f"{TEXT}-00000")
    assert "expected 14 groups of 5 letters, got 15" == caught.value.hint
