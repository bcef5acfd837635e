"""The six laws of masking, each as a property: with small alphabets, where everything overlaps, and with real forms.

The oracle is another implementation: naive search for every form, intervals merged.
"""

import json
import os
import random
import re
import time
from pathlib import Path

import pytest
from ahocorasick_rs import BytesAhoCorasick
from hypothesis import given, settings
from hypothesis import strategies as st

from autokestra_secrets import SecretMasker
from autokestra_secrets.masking.encodings import forms
from autokestra_secrets.masking.finder import Finder, literal

PLACEHOLDER = b"***SECRET***"
CORPUS = json.loads((Path(__file__).parents[1] / "masking_cases" / "corpus.json").read_text())
SOAK_SECONDS = float(os.environ.get("AUTOKESTRA_SOAK_SECONDS", "120" if os.environ.get("AUTOKESTRA_SOAK") else "2"))

small = st.sampled_from([b"a", b"ab", b"abc", b"ab\0", b"a\xff\xfe"]).flatmap(
    lambda letters: st.tuples(
        st.lists(st.lists(st.sampled_from(letters), min_size=1, max_size=9).map(bytes), min_size=1, max_size=5),
        st.lists(st.sampled_from(letters), max_size=60).map(bytes),
    )
)
texts = st.text(min_size=4, max_size=40)
values = texts.filter(lambda text: len(text.strip().encode()) >= 4)
cuts = st.lists(st.integers(min_value=0, max_value=9), max_size=80)


def cut_up(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]


def streamed(masker: SecretMasker, pieces: list[bytes]) -> bytes:
    stream = masker.stream()
    return b"".join([stream.feed(piece) for piece in pieces]) + stream.flush()


def spans_of(data: bytes, needles: set[bytes]) -> list[tuple[int, int]]:
    """Return where each needle stands in `data`, overlapping places made one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted((at, at + len(needle)) for needle in needles for at in places(data, needle)):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def places(data: bytes, needle: bytes) -> list[int]:
    return [match.start() for match in re.finditer(b"(?=" + re.escape(needle) + b")", data)]


def masked_by_oracle(data: bytes, needles: set[bytes]) -> bytes:
    out, at = [], 0
    for start, end in spans_of(data, needles):
        out += [data[at:start], PLACEHOLDER]
        at = end
    return b"".join([*out, data[at:]])


def needles_of(secrets: list[bytes]) -> set[bytes]:
    return {form.data for secret in secrets for form in forms(secret, min_length=1)}


@given(small)
@settings(max_examples=300, deadline=None)
def test_every_occurrence_is_replaced_whole_and_all_else_is_kept(case):
    """Laws 1, 3 and 4: the output is that of naive search with overlapping intervals merged."""
    secrets, data = case
    assert masked_by_oracle(data, needles_of(secrets)) == SecretMasker(secrets, min_length=1).mask(data)


@given(small, cuts)
@settings(max_examples=300, deadline=None)
def test_output_does_not_depend_on_how_the_input_was_cut(case, sizes):
    """Law 2."""
    secrets, data = case
    masker = SecretMasker(secrets, min_length=1)
    assert masker.mask(data) == streamed(masker, cut_up(data, sizes))


@given(small, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_order_of_registration_is_irrelevant(case, random_):
    """Law 4: whether values are known at once, one by one, or in another order."""
    secrets, data = case
    shuffled = random_.sample(secrets, len(secrets))
    late = SecretMasker(min_length=1)
    for secret in shuffled:
        late.add(secret)
        late.mask(b"")
    assert SecretMasker(secrets, min_length=1).mask(data) == late.mask(data)


@given(small)
@settings(max_examples=300, deadline=None)
def test_only_what_may_still_become_a_match_is_held(case):
    """Law 5: held is the longest suffix that begins a form; all before it is out, a match that reaches into it too."""
    secrets, data = case
    needles = needles_of(secrets)
    held_from = min(
        (at for at in range(len(data)) if any(n != data[at:] and n.startswith(data[at:]) for n in needles)),
        default=len(data),
    )
    out, done = [], 0
    for start, end in sorted((at, at + len(n)) for n in needles for at in places(data, n) if at < held_from):
        if start >= done:
            out += [data[done:start], PLACEHOLDER]
        done = max(done, end)
    out.append(data[done:held_from])
    assert b"".join(out) == SecretMasker(secrets, min_length=1).stream().feed(data)
    assert len(data) - held_from < max(map(len, needles), default=1)


@given(small, cuts)
@settings(max_examples=200, deadline=None)
def test_text_is_masked_as_its_bytes_are(case, sizes):
    """Law 6: bytes are what counts; text with surrogates for other bytes passes through."""
    secrets, data = case
    masker = SecretMasker(secrets, min_length=1)
    text = data.decode("utf-8", "surrogateescape")
    assert masker.mask(data).decode("utf-8", "surrogateescape") == masker.mask(text)


@given(st.lists(values, min_size=1, max_size=3), st.data())
@settings(max_examples=150, deadline=None)
def test_no_form_of_a_value_survives_in_any_stream(secrets, data):
    """Laws 1 and 2 with real forms, broken lines, escapes and blanks between them."""
    masker = SecretMasker(secrets)
    every = [form.data for secret in secrets for form in forms(secret.encode())]
    piece = st.one_of(
        st.sampled_from(every) if every else st.just(b""),
        st.sampled_from([b"\n", b"\r\n", b" ", b"\x1b[31m", b"\x1b[0m", b"\r", b"x", b"\t"]),
        st.binary(max_size=6),
    )
    stream = b"".join(data.draw(st.lists(piece, max_size=12)))
    masked = masker.mask(stream)
    assert masked == streamed(masker, cut_up(stream, data.draw(cuts)))
    body = masked.replace(PLACEHOLDER, b"\0\0\1\0\0")
    assert [] == [form for form in every if form in body and b"\0" not in form and form not in PLACEHOLDER]


@given(values, st.integers(min_value=1), st.sampled_from([b"\x1b[1;31m", b"\x1b[0m\x1b[K", b"\x1b]0;t\x07", b"\r"]))
@settings(max_examples=200, deadline=None)
def test_a_value_cut_by_an_escape_is_masked(secret, place, escape):
    data = secret.encode().strip()
    if b"\x1b" in data or b"\r" in data:
        return
    at = 1 + place % (len(data) - 1) if len(data) > 1 else 1
    masker = SecretMasker([secret])
    if masker.unmaskable:
        return
    assert b"<" + PLACEHOLDER + b">" == masker.mask(b"<" + data[:at] + escape + data[at:] + b">")


@given(st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=40, unique=True), st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_the_finder_finds_what_another_finder_finds(needles, data):
    assert found_by_other(needles, data) == sorted(Finder([literal(needle) for needle in needles]).scan(data))


def found_by_other(needles: list[bytes], data: bytes) -> list[tuple[int, int]]:
    return sorted(
        (end, index) for index, _, end in BytesAhoCorasick(needles).find_matches_as_indexes(data, overlapping=True)
    )


@pytest.mark.parametrize("found", CORPUS, ids=lambda found: found["note"].replace(" ", "-"))
def test_what_fuzzing_found_once_stays_right(found):
    """The corpus: texts (as Latin-1) that a masker in the making got wrong."""
    secrets = [secret.encode("latin-1") for secret in found["secrets"]]
    data = found["text"].encode("latin-1")
    masker = SecretMasker(secrets, min_length=1)
    masked = masker.mask(data)
    for size in (1, 2, 3, 7):
        assert masked == streamed(masker, cut_up(data, [size] * (len(data) // size)))
    body = masked.replace(PLACEHOLDER, b"\0\0\1\0\0")
    assert [] == [needle for needle in needles_of(secrets) if needle in body and b"\0" not in needle]


def test_soak_against_another_finder(untraced):
    """Random needles and texts of all sizes for a while; AUTOKESTRA_SOAK_SECONDS says for how long."""
    seed = int(os.environ.get("AUTOKESTRA_SOAK_SEED", time.time_ns() % 1_000_000))
    random_ = random.Random(seed)
    deadline = time.monotonic() + SOAK_SECONDS
    with untraced():
        while time.monotonic() < deadline:
            letters = random_.choice([b"a", b"ab", b"abcd", bytes(range(97, 123)), bytes(range(256))])
            longest = random_.choice([2, 5, 9, 40, 300])
            needles = list(
                {bytes(random_.choices(letters, k=random_.randint(1, longest))) for _ in range(random_.randint(1, 60))}
            )
            finder = Finder([literal(needle) for needle in needles])
            for _ in range(20):
                pieces = [
                    random_.choice(needles)[: random_.randint(1, longest)]
                    if random_.random() < 0.5
                    else bytes(random_.choices(letters, k=random_.randint(0, 30)))
                    for _ in range(random_.choice([1, 3, 10, 60, 400]))
                ]
                data = b"".join(pieces)
                assert found_by_other(needles, data) == sorted(finder.scan(data)), (seed, needles, data)


def test_soak_of_whole_maskers(untraced):
    """Random values and texts made of their forms, cut and broken at random: whole and in pieces must agree."""
    seed = int(os.environ.get("AUTOKESTRA_SOAK_SEED", time.time_ns() % 1_000_000))
    random_ = random.Random(seed)
    deadline = time.monotonic() + SOAK_SECONDS
    with untraced():
        while time.monotonic() < deadline:
            letters = random_.choice(
                [b"ab", b"abc", b"ab ", b"ab\n", b"a", b"ab \n\r", b"aA1-", b"ab\\\"'", b"a \x1b[m"]
            )
            secrets = [random_value(random_, letters) for _ in range(random_.randint(1, 4))]
            masker = SecretMasker(secrets, min_length=random_.choice([1, 4]))
            pool = [*secrets, *(form.data for index in masker.indexes() for form in index.forms)]
            for _ in range(10):
                data = random_text(random_, letters, pool)
                sizes = [random_.choice([0, 1, 1, 2, 3, 7, 20]) for _ in range(len(data))]
                assert masker.mask(data) == streamed(masker, cut_up(data, sizes)), (seed, secrets, data, sizes)


def random_value(random_: random.Random, letters: bytes) -> bytes:
    kind = random_.random()
    if kind < 0.3:
        unit = bytes(random_.choices(letters, k=random_.randint(1, 4)))
        return unit * random_.randint(1, 12) + bytes(random_.choices(letters, k=random_.randint(0, 3)))
    if kind < 0.5:
        return bytes(random_.choices(b"abcdef0123456789", k=random_.randint(12, 60)))
    return bytes(random_.choices(letters, k=random_.choice([1, 2, 3, 4, 5, 6, 8, 12, 16, 24])))


def random_text(random_: random.Random, letters: bytes, pool: list[bytes]) -> bytes:
    noise = [b"\x1b[31m", b"\x1b[0m", b"\x1b]0;", b"\x07", b"\x1b\\", b"\r", b"\r\n", b"\n", b" ", b"\t", b"\x1b", b"m"]
    out = []
    for _ in range(random_.randint(0, 12)):
        kind = random_.random()
        form = random_.choice(pool)
        if kind < 0.3:
            out.append(bytes(random_.choices(letters, k=random_.randint(0, 10))))
        elif kind < 0.45:
            out.append(random_.choice(noise))
        elif kind < 0.6:
            out.append(form[: random_.randint(0, len(form))])
        elif kind < 0.75:
            place = random_.randint(0, len(form))
            out.append(form[:place] + random_.choice(noise) + form[place:])
        elif kind < 0.85:
            width = random_.choice([3, 8, 16, 20])
            out.append(random_.choice([b"\n", b"\r\n", b"\n  "]).join(cut_up(form, [width] * (len(form) // width))))
        else:
            out.append(form)
    return b"".join(out)
