"""Warnings: what is declared for nothing, secrets in addresses, credentials in clear. None of them shows a value."""

import json

import pytest

from autokestra.actions.registry import catalog
from autokestra.workflow.document import read
from autokestra.workflow.validate import PROBLEM_LIMIT, validate


def found(text):
    workflow, problems = validate(read(text), file="w.yaml", catalog=catalog())
    assert workflow is not None, problems
    return problems


def warnings(text):
    """Line, column, end and message of each warning."""
    return [(each.line, each.column, each.end, each.message) for each in found(text)]


def rules(text):
    return [each.rule for each in found(text)]


TASKS = "tasks: [{id: a, type: core/console.log, inputs: {message: x}}]\n"


def http(inputs, more=""):
    return f"id: w\nsecrets: [A]\n{more}tasks:\n- id: a\n  type: core/http.get\n  inputs: {inputs}\n"


# -- declared and not used ------------------------------------------------------------------------------------------


def test_what_is_declared_and_not_used_is_named_where_it_stands():
    text = (
        "id: w\nsecrets: [USED, IDLE]\ninputs: {day: {}, idle-day: {}}\nvars: {url: x, idle_url: y}\n"
        "tasks:\n- id: a\n  type: core/console.log\n  when: \"{{ inputs.day == 'x' }}\"\n"
        '  inputs: {message: ["{{ vars[\'url\'] }}", {a: "{{ secrets.USED | length }}"}]}\n'
    )
    assert [
        (2, 17, (2, 21), "secret 'IDLE' is declared and not used"),
        (3, 19, (3, 27), "input 'idle-day' is declared and not used"),
        (4, 16, (4, 24), "value 'idle_url' is declared and not used"),
    ] == warnings(text)
    assert ["remove it, or use it as {{ secrets.IDLE }}"] == [each.hint for each in found(text)][:1]


@pytest.mark.parametrize("expression", ["vars | tojson", "vars[inputs.day]", "(vars).x"])
def test_an_expression_over_all_of_them_uses_each(expression):
    text = f"id: w\nvars: {{x: 1, y: 2}}\ninputs: {{day: {{default: x}}}}\n{TASKS}".replace(
        "message: x", f'message: "{{{{ {expression} }}}} {{{{ inputs.day }}}}"'
    )
    assert [] == warnings(text)


@pytest.mark.parametrize(
    ("value", "warned"),
    [
        ("${{ secrets.A }}", [(7, 14, "{{ secrets.A }}")]),
        ("x ${{ secrets.A | b64encode }}{{ secrets.A }}", [(7, 16, "{{ secrets.A }}")]),
        ("${{ env.HOME }}{{ secrets.A }}", [(7, 14, "{{ env.HOME }}")]),
        ("{{ secrets.A }}$", []),
        ("$ {{ secrets.A }}", []),
        ("${{ inputs.price }}{{ secrets.A }}", []),
        ("${{{{ secrets.A }}{{ secrets.A }}", []),
        ("${{ '{{' }} secrets.A }}{{ secrets.A }}", []),
    ],
)
def test_the_spelling_of_github_is_warned_of(value, warned):
    text = (
        "id: w\nsecrets: [A]\npassEnv: [HOME]\ninputs: {price: {default: x}}\ntasks:\n- id: a\n"
        f'  env: {{X: "{value}"}}\n  type: core/console.log\n  inputs: {{message: x}}\n'
    )
    assert warned == [
        (each.line, each.column, each.hint.removeprefix("that is how GitHub Actions writes it; here: "))
        for each in found(text)
        if each.rule == "dollar-braces"
    ]


def test_uses_in_on_failure_and_for_each_count():
    text = (
        'id: w\nvars: {x: [1]}\nsecrets: [A]\ntasks:\n- {id: a, type: core/console.log, forEach: "{{ vars.x }}", inputs: '
        '{message: x}}\nonFailure:\n- {id: b, type: core/console.log, env: {A: "{{ secrets.A }}"}, inputs: {message: x}}\n'
    )
    assert [] == warnings(text)


def test_what_is_wrong_is_said_before_what_is_idle():
    """The wrong name may be the use of what seems to have none."""
    workflow, problems = validate(
        read('id: w\nvars: {url: x}\ntasks: [{id: a, type: core/console.log, inputs: {message: "{{ vars.ulr }}"}}]'),
        file="w.yaml",
        catalog=catalog(),
    )
    assert (None, ["error"]) == (workflow, [each.severity for each in problems])


def test_warnings_are_counted_too():
    names = ", ".join(f"x{number}: 1" for number in range(1000))
    assert PROBLEM_LIMIT == len(found(f"id: w\nvars: {{{names}}}\n{TASKS}"))


# -- secrets in addresses -------------------------------------------------------------------------------------------

IN_ADDRESS = "secret 'A' becomes part of an address, and servers and proxies log addresses"


@pytest.mark.parametrize(
    "inputs",
    [
        '{url: "https://x/?key={{ secrets.A }}"}',
        '{url: "https://me:{{ secrets.A }}@x/"}',
        '{url: "{{ inputs.base }}/{{ secrets.A }}"}',
        '{url: x, query: {key: "{{ secrets.A }}"}}',
        '{url: x, query: {key: ["{{ secrets.A }}"]}}',
    ],
)
def test_a_secret_in_an_address_is_pointed_at(inputs):
    text = http(inputs, "inputs: {base: {}}\n" if "inputs.base" in inputs else "")
    (problem,) = found(text)
    line = text.split("\n").index(f"  inputs: {inputs}") + 1
    column = f"  inputs: {inputs}".index("{{ secrets") + 1
    assert ("secret-in-url", line, column, (line, column + 15)) == (
        problem.rule,
        problem.line,
        problem.column,
        problem.end,
    )
    assert problem.message == IN_ADDRESS
    assert 'send it in a header: headers: {Authorization: "Bearer {{ secrets.A }}"}' == problem.hint


@pytest.mark.parametrize(
    "inputs",
    [
        '{url: "{{ secrets.A }}"}',  # a webhook: the address as a whole is the secret
        '{url: x, headers: {Authorization: "Bearer {{ secrets.A }}"}}',
        '{url: x, auth: {bearer: "{{ secrets.A }}"}}',
    ],
)
def test_a_secret_elsewhere_is_left_alone(inputs):
    assert [] == warnings(http(inputs))


def test_an_address_in_the_environment_counts_and_a_database_does_not():
    text = (
        "id: w\nsecrets: [A]\ntasks:\n- {id: a, type: core/shell.run, env: {REPO: 'https://me:{{ secrets.A }}@git/x', "
        "DATABASE: 'postgresql://me:{{ secrets.A }}@db/x'}, inputs: {script: x}}\n"
    )
    column = text.split("\n")[3].index("{{") + 1
    assert [(4, column, (4, column + 15), IN_ADDRESS)] == warnings(text)


# -- credentials in clear -------------------------------------------------------------------------------------------

LONG = "q7Wz2LrT9vKd4MxB8nYc1HsF6jPg3RtQ5uVe0aZi"
TOKENS = {  # none stands here as one, so that scanners of this project find nothing
    "a GitHub token": ["gh" + "p_" + LONG, "gh" + "s_" + LONG, "github" + "_pat_" + LONG],
    "a GitLab token": ["gl" + "pat-" + LONG[:20]],
    "a Slack token": ["xo" + "xb-123456789012-" + LONG, "xa" + "pp-1-" + LONG],
    "a Slack webhook": ["https://hooks." + "slack.com/services/T0ABC/B0DEF/" + LONG[:24]],
    "an AWS access key": ["AK" + "IA" + "Q7WZ2LRT9VKD4MXB"],
    "a Stripe key": ["sk" + "_live_" + LONG],
    "a Google API key": ["AI" + "za" + LONG[:35]],
    "an npm token": ["np" + "m_" + LONG[:36]],
    "a PyPI token": ["py" + "pi-AgE" + LONG + LONG],
    "a Docker token": ["dc" + "kr_pat_" + LONG],
    "a Hugging Face token": ["h" + "f_" + LONG[:34]],
    "a SendGrid key": ["S" + "G." + LONG[:22] + "." + LONG],
    "an Anthropic or OpenAI key": ["s" + "k-ant-" + LONG, "s" + "k-proj-" + LONG, "s" + "k-" + LONG + LONG[:8]],
    "a JSON web token": ["ey" + "J" + LONG + ".ey" + "J" + LONG + "." + LONG],
    "an age key": ["AGE-SECRET" + "-KEY-1" + LONG.upper()],
    "a master key of Autokestra": ["ake" + "y1-" + LONG + LONG],
    "a private key": ["-----BEGIN " + kind + "PRIVATE KEY-----" for kind in ("", "RSA ", "OPENSSH ", "EC ")],
}


@pytest.mark.parametrize(("what", "token"), [(what, token) for what, tokens in TOKENS.items() for token in tokens])
@pytest.mark.parametrize(
    ("form", "trail"),
    [
        ("id: w\nvars: {a: '@@'}\n" + TASKS, "vars.a"),
        ("id: w\n# a comment with @@\n" + TASKS.replace("x", "y"), ""),
        (
            "id: w\ntasks:\n- id: a\n  type: core/shell.run\n  inputs:\n    script: |\n      x\n      y '@@'\n",
            "tasks[0].inputs.script",
        ),
    ],
)
def test_tokens_are_known_by_their_form_and_never_shown(form, trail, what, token):
    text = form.replace("@@", token)
    problems = [each for each in found(text) if each.rule == "plain-credential"]
    line = next(number for number, line in enumerate(text.split("\n"), 1) if token in line)
    place = text.split("\n")[line - 1].index(token) + 1 + ("hooks." in token and len("https://"))
    assert [(line, place, trail, f"this looks like {what} in clear")] == [
        (each.line, each.column, each.trail, each.message) for each in problems
    ]
    assert "workflow secrets set " in problems[0].hint
    assert not [each for each in problems if token[:12] in repr(each)]


@pytest.mark.parametrize(
    ("data", "trail", "name"),
    [
        ("vars: {password: hunter22}", "vars.password", "PASSWORD"),
        ("vars: {db_password: hunter22}", "vars.db_password", "DB_PASSWORD"),
        ("vars: {dbPassword: hunter22}", "vars.dbPassword", "DB_PASSWORD"),
        ("vars: {password: 84736251}", "vars.password", "PASSWORD"),
        ("vars: {a: [{client-secret: hunter22}]}", "vars.a[0].client-secret", "CLIENT_SECRET"),
        ("vars: {api_key: k3j4h5k3}", "vars.api_key", "API_KEY"),
        ("vars: {a: {Authorization: Bearer k3j4h5k3}}", "vars.a.Authorization", "AUTHORIZATION"),
        ("inputs: {token: {default: k3j4h5k3}}", "inputs.token.default", "TOKEN"),
        ("vars: {url: 'https://ada:k3j4h5k3@example.com/'}", "vars.url", "PASSWORD"),
        ("vars: {url: 'postgresql://ada:k3j4h5k3@db/x'}", "vars.url", "PASSWORD"),
    ],
)
def test_literals_at_telling_keys_and_in_addresses_are_found_and_never_shown(data, trail, name):
    problems = [each for each in found(f"id: w\n{data}\n{TASKS}") if each.rule == "plain-credential"]
    assert [trail] == [each.trail for each in problems]
    assert f"workflow secrets set {name}," in problems[0].hint
    assert not [word for word in ("hunter", "k3j4", "8473") if word in repr(problems)]


@pytest.mark.parametrize(
    "data",
    [
        "vars: {password_file: /run/secrets/db, tokens: 5, token_url: 'https://x/y', keyboard: abcdefgh}",
        "vars: {password: '', secret: changeme, token: '<your token>', apiKey: xxxxxxxx, pwd: null}",
        "vars: {password: $DB_PASSWORD, token: '${TOKEN}', secret: your-secret, passphrase: '%(secret)s'}",
        "vars: {max_token: 1000, secret: true, token: /run/secrets/token, key: abcdefgh, monkey: abcdefgh}",
        "vars: {a: {Authorization: Basic}, b: {Authorization: none}, Authorization: 'Bearer $TOKEN'}",
        "inputs: {password: {type: string, description: The password of the database}}",
        "vars: {url: 'https://example.com:8080/a@b', mail: 'mailto:a@b.c', ssh: 'ssh://git@host:22/x', t: '12:30@x'}",
        "vars: {url: 'postgresql://user:password@localhost/x', u: 'https://x:$PASS@y', v: 'https://x:<pass>@y'}",
        "vars: {a: AKIA" + "IOSFODNN7EXAMPLE, b: ghp_" + "x" * 36 + ", c: sk-dash-case-words, d: hf_short}",
        "vars: {a: my_ghp_" + LONG + "}",
        "secrets: [PASSWORD, API_TOKEN]",
        "description: 'password: ask Ada'",
    ],
)
def test_what_is_no_credential_is_left_alone(data):
    assert [] == [each for each in rules(f"id: w\n{data}\n{TASKS}") if each == "plain-credential"]


def test_a_template_is_no_literal():
    text = http('{url: x, auth: {basic: {username: "{{ secrets.A }}", password: "{{ secrets.A }}"}}}')
    assert [] == warnings(text)


def test_one_line_is_one_warning():
    token = TOKENS["a GitHub token"][0]
    assert ["plain-credential"] == rules(f"id: w\ndescription: {{}}\n{TASKS}".replace("{}", f"'{token} {token}'"))


# -- allowed in its place -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "id: w\nvars:\n  password: hunter22  # autokestra: allow plain-credential, unused\n" + TASKS,
        "id: w\nvars:\n  # autokestra: allow unused,plain-credential\n  password: hunter22\n" + TASKS,
        (
            "id: w\ntasks:\n- id: a\n  type: core/shell.run\n  inputs:\n"
            "    script: |  # autokestra: allow plain-credential\n"
            f"      x\n      curl -H 'X: {TOKENS['a GitHub token'][0]}'\n"
        ),
        (
            "id: w\ntasks:\n- id: a\n  type: core/shell.run\n  inputs:\n    script: |\n      x\n"
            f"      curl -H 'X: {TOKENS['a GitHub token'][0]}' # autokestra: allow plain-credential\n"
        ),
        "id: w\nsecrets:\n- A  # autokestra: allow unused\n" + TASKS,
        (
            "id: w\nsecrets: [A]\ntasks:\n- id: a\n  type: core/http.get\n  inputs:\n"
            "    # autokestra: allow secret-in-url\n    url: https://x/{{ secrets.A }}\n"
        ),
        (
            "id: w\nsecrets: [A]\ntasks:\n- id: a\n  type: core/shell.run\n  inputs:\n"
            "    script: echo {{ secrets.A }} # autokestra: allow secret-in-script\n"
        ),
    ],
)
def test_a_comment_in_its_place_allows_it(text):
    assert [] == warnings(text)


@pytest.mark.parametrize(
    "text",
    [
        "id: w\nvars:\n  password: hunter22  # autokestra: allow unused\n" + TASKS,
        "id: w\nvars:  # autokestra: allow unused\n  # autokestra: allow unused\n  password: hunter22\n" + TASKS,
        "# autokestra: allow plain-credential\nid: w\nvars:\n  # autokestra: allow unused\n  password: hunter22\n"
        + TASKS,
    ],
)
def test_it_allows_nothing_else(text):
    assert ["plain-credential"] == rules(text)


def test_a_slip_in_the_name_of_a_rule_is_told():
    (problem,) = found(f"id: w  # autokestra: allow plain-credentials\n{TASKS}")
    assert ("unknown-rule", 1, 28, "did you mean 'plain-credential'?") == (
        problem.rule,
        problem.line,
        problem.column,
        problem.hint,
    )


def test_problems_have_ends_where_they_are_known():
    text = (
        'id: w\n"secrts": [A]\ntasks:\n- id: a\n  type: core/shel.run\n  needs: [b]\n  inputs: {a: "{{ nothing.x }}"}\n'
        "- [1]\n- id: 5\n  type: core/shell.run\n  inputs: {script: ''}\n"
    )
    problems = validate(read(text), file="w.yaml", catalog=catalog())[1]
    assert {
        "secrts": ((2, 1), (2, 9)),
        "tasks[0].type": ((5, 9), (5, 22)),
        "tasks[0].needs[0]": ((6, 11), (6, 12)),
        "tasks[0].inputs.a": ((7, 16), (7, 31)),
        "tasks[1]": ((8, 3), None),
        "tasks[2].id": ((9, 7), (9, 8)),
        "tasks[2].inputs.script": ((11, 20), (11, 22)),
    } == {each.trail: ((each.line, each.column), each.end) for each in problems}
    assert json.dumps([each.rule for each in problems]) == json.dumps([None] * len(problems))
