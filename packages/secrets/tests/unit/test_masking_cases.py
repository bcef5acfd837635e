"""148 cases from the tests and bug trackers of other maskers: whole, byte by byte, and cut at random."""

import contextlib
import importlib.util
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autokestra_secrets import SecretMasker

_SPEC = importlib.util.spec_from_file_location(
    "masking_judge", Path(__file__).parents[1] / "masking_cases" / "judge.py"
)
judge = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(judge)

CASES = judge.load()
LARGE = 1 << 17  # bytes of a stream that is fed in pieces of 97 bytes rather than of one

# What stays unmasked on purpose, and why.
NOT_DONE = {
    "heur-token-prefix": "a value that nobody registered cannot be told from text without guessing by vendor prefix",
    "heur-url-param": "nor by the name of a query parameter",
}
# Cases of the class `policy` use the default of 4 bytes; this one needs a value of 3.
SHORT_POLICY = {"pol-creates-secret": 3}


def masker_for(case) -> SecretMasker:
    default = 4 if case.kind == "policy" else 1
    return SecretMasker(case.secrets, min_length=SHORT_POLICY.get(case.id, default))


def run(case, cut: Callable[[bytes], list[bytes]]) -> tuple[bytes, bytes, float]:
    """Return the output, what of it was out after the first chunk, and the seconds it took."""
    begin = time.process_time()
    masker = masker_for(case)
    stream = masker.stream()
    out, first = [], None
    for number, chunk in enumerate(case.chunks):
        for value in case.added.get(number, []):
            masker.add(value)
        out += [stream.feed(piece) for piece in cut(chunk)]
        if first is None:
            first = b"".join(out)
    out.append(stream.flush())
    return b"".join(out), first or b"", time.process_time() - begin


def whole(chunk: bytes) -> list[bytes]:
    return [chunk]


def bytewise(chunk: bytes) -> list[bytes]:
    size = 1 if len(chunk) < LARGE else 97
    return [chunk[at : at + size] for at in range(0, len(chunk), size)]


def randomly(chunk: bytes) -> list[bytes]:
    random_ = random.Random(len(chunk))
    pieces, at = [], 0
    while at < len(chunk):
        size = random_.choice([0, 1, 2, 3, 5, 8, 13, 100, 5000])
        pieces.append(chunk[at : at + size])
        at += size
    return pieces


@pytest.mark.parametrize("cut", [whole, bytewise, randomly])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case_is_masked_as_it_should_be(case, cut, untraced):
    is_large = case.max_seconds is not None or sum(map(len, case.chunks)) >= LARGE
    with untraced() if is_large else contextlib.nullcontext():
        out, first, seconds = run(case, cut)
    faults = judge.judge(case, out, first=first, seconds=seconds if cut is whole else 0.0)
    if case.id in NOT_DONE:
        assert case.optional
        pytest.skip(f"{NOT_DONE[case.id]} ({faults})")
    assert faults == []


def test_every_case_there_is_has_been_tried():
    assert len(CASES) == 148
    assert {case.id for case in CASES} >= NOT_DONE.keys() | SHORT_POLICY.keys()


def test_whole_and_cut_streams_give_the_same():
    for case in CASES:
        if sum(map(len, case.chunks)) < LARGE:
            assert run(case, whole)[0] == run(case, bytewise)[0], case.id
