"""Who may read which secret, and where it comes from."""

import threading

import pytest

from autokestra_secrets import (
    InvalidSecretNameError,
    InvalidSecretValueError,
    MissingSecretsError,
    SecretMasker,
    SecretNotDeclaredError,
    SecretNotFoundError,
    SecretResolver,
    SecretsError,
    SecretStore,
    SecretValue,
)
from autokestra_secrets.masterkey import MasterKeyProvider
from autokestra_secrets.testing import memory_store


def revealed(scope, name):
    return scope[name].reveal()


def test_a_declared_secret_is_read_from_the_store():
    scope = SecretResolver(memory_store({"TOKEN": "value-1"}), environ={}).scope(["TOKEN"])
    assert SecretValue("value-1") == scope["TOKEN"]


def test_the_store_wins_over_the_environment():
    scope = SecretResolver(memory_store({"A": "stored"}), environ={"A": "exported", "B": "exported"}).scope(["A", "B"])
    assert ("stored", "exported") == (revealed(scope, "A"), revealed(scope, "B"))
    assert {"A": "store", "B": "environment"} == scope.used == scope.sources()


def test_without_a_store_everything_comes_from_the_environment():
    scope = SecretResolver(None, environ={"A": "exported"}).scope(["A"])
    scope.check()
    assert "exported" == revealed(scope, "A")


def test_without_fallback_the_environment_is_not_asked():
    scope = SecretResolver(None, environ={"A": "exported"}, fallback=False).scope(["A"])
    with pytest.raises(SecretNotFoundError, match=r"^secret 'A' not found$"):
        scope["A"]


@pytest.mark.parametrize("name", ["AUTOKESTRA_SECRET_KEY", "AUTOKESTRA_X", "autokestra_x"])
def test_the_engines_own_variables_never_fall_back(name):
    scope = SecretResolver(None, environ={name: "exported"}).scope([name])
    assert {} == scope.sources()
    with pytest.raises(SecretNotFoundError):
        scope[name]


def test_an_empty_variable_counts_as_absent():
    with pytest.raises(MissingSecretsError):
        SecretResolver(None, environ={"A": ""}).scope(["A"]).check()


def test_a_variable_that_is_not_utf8_gives_its_bytes():
    scope = SecretResolver(None, environ={"A": b"\xff\xfe".decode(errors="surrogateescape")}).scope(["A"])
    assert b"\xff\xfe" == scope["A"].reveal_bytes()


def test_a_variable_that_no_environment_can_hold_is_refused_without_its_text():
    scope = SecretResolver(None, environ={"A": "pass\ud800word"}).scope(["A"])
    with pytest.raises(InvalidSecretValueError) as caught:
        scope["A"]
    assert "environment variable 'A' is not valid Unicode text" == str(caught.value)
    assert caught.value.__context__ is None


def test_all_missing_secrets_are_listed_in_their_order():
    scope = SecretResolver(memory_store({"B": "here"}), environ={"D": "here"}).scope(["C", "B", "A", "D"])
    with pytest.raises(MissingSecretsError) as caught:
        scope.check()
    assert ("C", "A") == caught.value.names
    assert "missing secrets: C, A" == str(caught.value)


def test_looking_for_missing_secrets_needs_no_key(tmp_path):
    """A machine without the key can still say what is missing."""
    location = tmp_path / "secrets.db"
    home = tmp_path / "home"
    with SecretStore.open(location, keys=MasterKeyProvider({}, home=home)) as store:
        store.set("A", "value")
    (home / "secret.key").unlink()
    with SecretStore.open(location, keys=MasterKeyProvider({}, home=home)) as store:
        scope = SecretResolver(store, environ={"B": "exported"}).scope(["A", "B"])
        scope.check()
        assert {"A": "store", "B": "environment"} == scope.sources()
        assert "exported" == revealed(SecretResolver(store, environ={"B": "exported"}).scope(["B"]), "B")


def test_reading_an_undeclared_secret_is_refused_even_if_it_exists():
    scope = SecretResolver(memory_store({"OTHER": "value"}), environ={}).scope(["TOKEN"], workflow="nightly")
    with pytest.raises(SecretNotDeclaredError) as caught:
        scope["OTHER"]
    assert "secret 'OTHER' is not declared in workflow 'nightly'" == str(caught.value)
    assert "add it to the workflow: secrets: [OTHER]" == caught.value.hint


@pytest.mark.parametrize("name", ["AUTOKESTRA_MASTER_KEY", "autokestra_master_key"])
def test_a_variable_of_the_engine_is_refused_and_nobody_is_told_to_declare_it(name):
    resolver = SecretResolver(None, environ={name: "the key of all"})
    with pytest.raises(SecretNotDeclaredError) as caught:
        resolver.scope(["AUTOKESTRA_MASTER_KE"], workflow="nightly")[name]
    assert f"secret '{name}' is not declared in workflow 'nightly'" == str(caught.value)
    assert "no workflow may use what begins with AUTOKESTRA_" == caught.value.hint


def test_a_misspelt_secret_gets_the_nearest_declared_name():
    with pytest.raises(SecretNotDeclaredError) as caught:
        SecretResolver(None, environ={}).scope(["API_TOKEN"])["API_TOKN"]
    assert "secret 'API_TOKN' is not declared" == str(caught.value)
    assert "did you mean 'API_TOKEN'? if not, add it to the workflow: secrets: [API_TOKN]" == caught.value.hint


def test_a_missing_secret_gets_the_nearest_stored_name():
    with pytest.raises(SecretNotFoundError) as caught:
        SecretResolver(memory_store({"API_TOKEN": "x"}), environ={}).scope(["API_TOKN"])["API_TOKN"]
    assert "did you mean 'API_TOKEN'? if not, store it with: workflow secrets set API_TOKN" == caught.value.hint


def test_a_missing_secret_without_a_near_name_says_how_to_store_it():
    with pytest.raises(SecretNotFoundError) as caught:
        SecretResolver(None, environ={}).scope(["API_TOKEN"])["API_TOKEN"]
    assert "store it with: workflow secrets set API_TOKEN" == caught.value.hint


@pytest.mark.parametrize("name", ["MY KEY", "a.b", "", "x" * 129, "ключ", "🔑"])
def test_bad_names_are_refused_when_declared_and_when_read(name):
    resolver = SecretResolver(None, environ={})
    with pytest.raises(InvalidSecretNameError, match=r"^invalid secret name"):
        resolver.scope([name])
    with pytest.raises(InvalidSecretNameError, match=r"^invalid secret name"):
        resolver.scope(["A"])[name]


def test_names_keep_their_order_and_lose_repetitions():
    assert ("B", "A") == SecretResolver(None, environ={}).scope(["B", "A", "B"]).names


def test_only_reading_counts_as_use():
    scope = SecretResolver(memory_store({"A": "value-a", "B": "value-b"}), environ={}).scope(["A", "B", "C"])
    scope.register(SecretMasker())
    scope.sources()
    assert {} == scope.used
    scope["B"]
    scope["B"]
    assert {"B": "store"} == scope.used


def test_every_declared_secret_is_registered_and_no_other():
    store = memory_store({"A": "value-a", "B": "value-b", "OTHER": "value-c"})
    masker = SecretMasker()
    SecretResolver(store, environ={"D": "value-d"}).scope(["A", "B", "D", "MISSING"]).register(masker)
    assert "***SECRET*** ***SECRET*** value-c ***SECRET***" == masker.mask("value-a value-b value-c value-d")
    assert {"A", "B", "D"} == set(masker.counts)


def test_a_scope_sees_one_moment():
    """A secret changed during a task does not give the task two values."""
    store = memory_store({"A": "before", "B": "before"})
    scope = SecretResolver(store, environ={}).scope(["A", "B"])
    assert "before" == revealed(scope, "A")
    store.set("B", "after")
    assert "before" == revealed(scope, "B")


def test_a_closed_scope_gives_nothing():
    with SecretResolver(memory_store({"A": "value"}), environ={}).scope(["A"]) as scope:
        scope["A"]
    scope.close()
    for use in (lambda: scope["A"], scope.sources, scope.check, lambda: scope.register(SecretMasker())):
        with pytest.raises(SecretsError, match=r"^the scope of these secrets is closed$"):
            use()
    assert {"A": "store"} == scope.used


def test_a_scope_shows_names_only():
    scope = SecretResolver(memory_store({"A": "value-1"}), environ={}).scope(["A", "B"])
    scope["A"]
    assert "SecretScope(A, B)" == repr(scope)


def test_a_secret_deleted_between_looking_and_reading_is_missing(tmp_path):
    """Somebody may delete a secret while a workflow starts: the answer is 'not found', or the environment."""

    class Deleting:
        def __init__(self, store, *names):
            self.store = store
            self.doomed = names

        def names(self):
            return self.store.names()

        def get_many(self, names):
            for name in self.doomed:
                self.store.delete(name)
            return self.store.get_many(names)

    store = memory_store({"A": "stored-a", "B": "stored-b", "C": "stored-c"})
    scope = SecretResolver(Deleting(store, "A", "B"), environ={"B": "exported"}).scope(["A", "B", "C"])
    assert ("exported", "stored-c") == (revealed(scope, "B"), revealed(scope, "C"))
    assert {"B": "environment", "C": "store"} == scope.sources()
    with pytest.raises(SecretNotFoundError):
        scope["A"]


def test_threads_share_a_scope():
    scope = SecretResolver(memory_store({f"S{n}": f"value-{n}" for n in range(8)}), environ={}).scope(
        [f"S{n}" for n in range(8)]
    )
    seen = {}
    threads = [threading.Thread(target=lambda n=n: seen.update({n: revealed(scope, f"S{n}")})) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: f"value-{n}" for n in range(8)} == seen
    assert {f"S{n}" for n in range(8)} == set(scope.used)
