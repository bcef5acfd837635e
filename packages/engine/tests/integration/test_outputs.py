"""Outputs at rest, over a real store: sealed with a key, in clear without secrets, in memory otherwise."""

import pytest

from autokestra.errors import StateFormatError
from autokestra.executions.records import Attempt, AttemptState, StoredOutput
from autokestra.worker.outputs import MAX_OUTPUT_BYTES, OutputError, OutputVault, shown_output, to_json
from autokestra_secrets import DamagedError, MasterKeyProvider, SecretStore


def unheard(value, name):
    raise AssertionError("no value was kept with it")


class Rows(dict):
    """What the attempt table answers."""

    def output(self, execution, task):
        return self.get((execution, task))

    def item_outputs(self, execution, task):
        return None

    def item_list(self, execution, task):
        return None


@pytest.fixture
def cipher(tmp_path):
    with SecretStore.open(tmp_path / "secrets.db", keys=MasterKeyProvider({}, home=tmp_path)) as store:
        store.set("ANY", "value")
        yield store.output_cipher()


def test_with_a_key_an_output_is_sealed_and_opens_for_its_own_attempt_only(cipher):
    rows = Rows()
    vault = OutputVault(rows, cipher)
    stored = vault.keep("e", "t", 1, '{"token":"plain-text-value"}', has_secrets=False)
    assert stored.clear is None
    assert b"plain-text-value" not in stored.sealed
    rows["e", "t"] = (1, stored)
    assert {"token": "plain-text-value"} == vault.read("e", "t", learn=unheard)
    assert vault.has("e", "t")
    rows["e", "other"] = (1, stored)
    with pytest.raises(DamagedError):
        vault.read("e", "other", learn=unheard)


def test_without_a_key_an_output_of_a_workflow_without_secrets_is_in_clear():
    rows = Rows()
    vault = OutputVault(rows, None)
    rows["e", "t"] = (1, vault.keep("e", "t", 1, "[1,2]", has_secrets=False))
    assert StoredOutput(clear="[1,2]") == rows["e", "t"][1]
    assert [1, 2] == vault.read("e", "t", learn=unheard)
    vault.guard("e")
    with pytest.raises(OutputError, match="in clear where it must be sealed"):
        vault.read("e", "t", learn=unheard)
    assert vault.has("e", "t")


def test_without_a_key_an_output_of_a_workflow_with_secrets_stays_in_memory():
    rows = Rows()
    vault = OutputVault(rows, None)
    rows["e", "t"] = (1, vault.keep("e", "t", 1, "[1]", has_secrets=True))
    assert StoredOutput() == rows["e", "t"][1]
    assert [1] == vault.read("e", "t", learn=unheard)
    assert vault.has("e", "t")
    vault.forget("e")
    assert not vault.has("e", "t")
    with pytest.raises(OutputError, match="only kept in memory"):
        vault.read("e", "t", learn=unheard)


def test_values_to_mask_are_kept_with_an_output_and_told_to_who_reads_it(cipher):
    rows, values, heard = Rows(), [(b"minted\n\xff", "add-mask"), (b"second", "API_TOKEN")], []
    rows["e", "t"] = (1, OutputVault(Rows(), cipher).keep("e", "t", 1, '["minted"]', has_secrets=False, values=values))
    assert ["minted"] == OutputVault(rows, cipher).read("e", "t", learn=lambda *pair: heard.append(pair))
    assert values == heard


def test_without_a_key_an_output_with_values_to_mask_stays_in_memory():
    rows, heard = Rows(), []
    vault = OutputVault(rows, None)
    rows["e", "t"] = (1, vault.keep("e", "t", 1, "[1]", has_secrets=False, values=[(b"minted", "add-mask")]))
    assert StoredOutput() == rows["e", "t"][1]
    assert [1] == vault.read("e", "t", learn=lambda *pair: heard.append(pair))
    assert [(b"minted", "add-mask")] == heard


def test_items_are_kept_with_the_values_to_mask_in_them(cipher):
    values, heard = [(b"minted", "add-mask")], []
    vault = OutputVault(Rows(), cipher)
    kept = vault.keep_items("e", "t", ["minted-1"], has_secrets=False, values=values)
    rows = Rows()
    rows.item_list = lambda execution, task: kept
    for each in (vault, OutputVault(rows, cipher)):
        assert ["minted-1"] == each.items("e", "t", learn=lambda *pair: heard.append(pair))
    assert [*values, *values] == heard
    in_memory = OutputVault(Rows(), None).keep_items("e", "t", ["minted-1"], has_secrets=False, values=values)
    assert StoredOutput() == in_memory.stored


class Lists(Rows):
    """Rows that also hold the lists over which tasks run."""

    def item_list(self, execution, task):
        return self.get(("list", execution, task))


def test_a_list_is_sealed_and_opens_for_the_next_coordinator_and_its_own_task_only(cipher):
    rows = Lists()
    kept = OutputVault(rows, cipher).keep_items("e", "t", ["plain-text-value", 2], has_secrets=False)
    assert (2, None) == (kept.count, kept.stored.clear)
    assert b"plain-text-value" not in kept.stored.sealed
    rows["list", "e", "t"] = rows["list", "e", "other"] = kept
    vault = OutputVault(rows, cipher)
    assert ["plain-text-value", 2] == vault.items("e", "t", learn=unheard)
    with pytest.raises(DamagedError):
        vault.items("e", "other", learn=unheard)
    assert OutputVault(rows, None).items("e", "t", learn=unheard) is None


def test_what_is_to_be_masked_in_a_list_comes_back_with_it_and_is_sealed_too(cipher):
    rows, learned = Lists(), []
    minted = ((b"minted-value", "token"),)
    kept = rows["list", "e", "t"] = OutputVault(rows, cipher).keep_items(
        "e", "t", [1], has_secrets=False, values=minted
    )
    assert b"minted-value" not in kept.stored.sealed
    assert [1] == OutputVault(rows, cipher).items("e", "t", learn=lambda *pair: learned.append(pair))
    assert list(minted) == learned


def test_a_list_that_may_hold_secrets_is_gone_with_its_process_where_there_is_no_key():
    rows = Lists()
    vault = OutputVault(rows, None)
    kept = rows["list", "e", "t"] = vault.keep_items("e", "t", ["value"], has_secrets=True)
    assert StoredOutput() == kept.stored
    assert ["value"] == vault.items("e", "t", learn=unheard)
    assert OutputVault(rows, None).items("e", "t", learn=unheard) is None


def test_a_list_in_clear_is_read_again(cipher):
    rows = Lists()
    rows["list", "e", "t"] = OutputVault(rows, None).keep_items("e", "t", [1, "b"], has_secrets=False)
    assert [1, "b"] == OutputVault(rows, None).items("e", "t", learn=unheard)
    assert OutputVault(rows, None).items("e", "absent", learn=unheard) is None


def test_a_sealed_output_without_a_key_names_the_remedy(cipher):
    rows = Rows({("e", "t"): (1, OutputVault(Rows(), cipher).keep("e", "t", 1, "1", has_secrets=True))})
    vault = OutputVault(rows, None)
    assert not vault.has("e", "t")
    with pytest.raises(OutputError, match="no key to open it") as caught:
        vault.read("e", "t", learn=unheard)
    assert "workflow secrets key show" in caught.value.hint


def test_a_task_without_an_output_reads_as_null():
    vault = OutputVault(Rows(), None)
    assert vault.read("e", "t", learn=unheard) is None
    assert not vault.has("e", "t")


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, "\ud800", object()])
def test_what_is_no_json_is_refused_without_showing_it(value):
    with pytest.raises(OutputError, match="is not JSON") as caught:
        to_json(value)
    assert caught.value.__cause__ is None


def test_an_output_is_bounded():
    assert MAX_OUTPUT_BYTES == len(to_json("x" * (MAX_OUTPUT_BYTES - 2)))
    with pytest.raises(OutputError, match="at most 10,485,760 are kept"):
        to_json("x" * (MAX_OUTPUT_BYTES - 1))


def an_attempt(shown):
    return Attempt(
        execution_id="e",
        task_id="t",
        number=1,
        state=AttemptState.SUCCESS,
        reason=None,
        message=None,
        exit_code=None,
        owner="w",
        created_at=1,
        claimed_at=1,
        finished_at=1,
        shown=shown,
    )


def test_the_copy_for_people_is_sealed_too_since_a_task_may_have_minted_what_no_masker_knows(cipher):
    stored = OutputVault(Rows(), cipher).keep_shown("e", "t", 1, '{"access":"minted-token"}', has_secrets=True)
    assert b"minted-token" not in stored.sealed
    assert stored.clear is None
    assert {"access": "minted-token"} == shown_output(an_attempt(stored), cipher)
    with pytest.raises(OutputError, match="sealed and there is no key"):
        shown_output(an_attempt(stored), None)


def test_the_copy_for_people_cannot_be_passed_off_as_the_output(cipher):
    rows = Rows()
    vault = OutputVault(rows, cipher)
    rows["e", "t"] = (1, vault.keep_shown("e", "t", 1, "1", has_secrets=True))
    with pytest.raises(DamagedError):
        vault.read("e", "t", learn=unheard)


def test_without_a_key_the_copy_for_people_is_kept_only_where_there_are_no_secrets():
    vault = OutputVault(Rows(), None)
    assert StoredOutput() == vault.keep_shown("e", "t", 1, "1", has_secrets=True)
    assert StoredOutput(clear="1") == vault.keep_shown("e", "t", 1, "1", has_secrets=False)
    assert 1 == shown_output(an_attempt(StoredOutput(clear="1")), None)
    assert shown_output(an_attempt(StoredOutput()), None) is None


@pytest.mark.parametrize("damaged", ["tok-4f9c", "[" * 100_000])
def test_an_output_in_clear_that_is_no_json_is_damage_and_not_shown(damaged):
    with pytest.raises(StateFormatError) as shown:
        shown_output(an_attempt(StoredOutput(clear=damaged)), None)
    assert ("the output of task 't' is damaged", 7) == (shown.value.message, shown.value.exit_code)
    rows = Rows()
    rows["e", "t"] = (1, StoredOutput(clear=damaged))
    with pytest.raises(StateFormatError) as read:
        OutputVault(rows, None).read("e", "t", learn=unheard)
    assert (None, True) == (read.value.__cause__, read.value.__suppress_context__)
