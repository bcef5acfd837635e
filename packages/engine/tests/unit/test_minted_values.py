"""What a task's masker has learned, and what of it goes on with an output."""

from autokestra.worker.minted import Declared, Minted, Noting, with_values, without_values
from autokestra_secrets import SecretMasker, SecretValue


def test_what_a_template_makes_is_noted_for_each_attempt_and_a_declared_secret_never() -> None:
    masker = SecretMasker()
    for _ in range(2):  # the second attempt meets a masker that knows all of it
        minted, declared = Minted(), Declared(masker)
        declared.add(SecretValue("first-half-second-half"), "API_TOKEN")
        noting = Noting(declared, minted)
        for value in ("first-half-second-half", "first-half", "abc"):
            noting.add(value, "API_TOKEN")
        assert [(b"first-half", "API_TOKEN")] == minted.values
    assert "***SECRET*** ***SECRET***" == masker.mask("first-half first-half-second-half")


def test_a_learner_masks_and_hands_on_what_came_with_an_output() -> None:
    minted = Minted()
    own = SecretMasker(["known-before"]).child()
    learn = minted.learner(own)
    text = with_values('{"a": 1}', [(b"minted\n\xff value", "add-mask"), (b"known-before", "X")])
    assert '{"a": 1}' == without_values(text, learn)
    assert [(b"minted\n\xff value", "add-mask"), (b"known-before", "X")] == minted.values
    assert b"***SECRET***" == own.mask(b"minted\n\xff value")
    assert {"add-mask": {"plain": 1}} == own.counts, "what is known is not registered again"
