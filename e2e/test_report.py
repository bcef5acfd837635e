"""`workflow execution report`: a page for its owner, whole or not at all, in which nothing of a task is markup."""

import json
import re
from html.parser import HTMLParser

import pytest

SECRET = "tok-4f9c2e7a81d35b60"

ATTACKS = [
    "</script><script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 2'>",
    "{{ secrets.TOKEN }} ${7*7} %s {0} &lt;b&gt;",
    "\x1b]0;pwned\x07\x1b[2J\x1b[31mred\x1b[0m",
    "turned \u202e round \u2066 and \u200e on",
    "nul \x00 and \x9b31m",
    "<!-- --><style>*{display:none}</style><svg onload=alert(1)>",
    "\"' onmouseover=alert(1) x='",
]

FLOW = {
    "id": "attacked",
    "description": "<b>bold</b> & </title><script>window.pwned = 3</script>",
    "inputs": {"day": {"default": "<i>today</i>"}},
    "vars": {"url": "https://example.com/?a=1&b=<2>"},
    "secrets": ["TOKEN", "UNUSED"],
    "tasks": [
        {
            "id": "print",
            "type": "core/python.run",
            "description": "</details><h1>forged</h1>",
            "inputs": {
                "inputs": {"lines": ATTACKS, "token": "{{ secrets.TOKEN }}", "text": "{{{{ no <b>expression</b> }}"},
                "script": "import sys\nfor line in inputs['lines']: print(line)\n"
                "print('the token is', inputs['token'])\n"
                "sys.stdout.flush(); sys.stdout.buffer.write(b'bad \\xff\\xfe bytes\\n')\nprint('to stderr', file=sys.stderr)\n",
            },
        },
        {
            "id": "fail",
            "type": "core/shell.run",
            "needs": ["print"],
            "continueOnError": True,
            "when": "{{ inputs.day != '<b>' }}",
            "env": {"T": "Bearer {{ secrets.TOKEN }}"},
            "inputs": {"script": "echo '<script>window.pwned = 4</script>'; exit 3"},
        },
        {
            "id": "note",
            "type": "core/console.log",
            "inputs": {"message": "for who looks for a fault", "level": "debug"},
        },
    ],
    "onFailure": [{"id": "alert", "type": "core/console.log", "inputs": {"message": "failed"}}],
}


class Parsed(HTMLParser):
    """What a browser would see: elements, their attributes, and the text outside scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.elements = []
        self.text = ""
        self._silent = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._silent = tag in ("script", "style")

    def handle_endtag(self, tag):
        self._silent = False

    def handle_data(self, data):
        if not self._silent:
            self.text += data

    def count(self, tag):
        return sum(name == tag for name, _ in self.elements)


@pytest.fixture
def ran(workflow):
    """Run the attacks; return the path of the page."""
    for name in FLOW["secrets"]:
        workflow.ok("secrets", "set", name, input=SECRET if name == "TOKEN" else "unused-value-1234")
    file = workflow.user / "attacked.yaml"
    file.write_text(json.dumps(FLOW), encoding="utf-8")
    workflow.ok("run", file)
    return workflow.user / "report.html"


@pytest.fixture
def page(workflow, ran):
    """The page as text."""
    told = workflow("execution", "report", "latest", "--html", ran)
    assert (0, "") == (told.returncode, told.stdout)
    assert re.fullmatch(rf"wrote {ran}: execution \w{{16}} of workflow 'attacked'\n", told.stderr)
    return ran.read_text(encoding="utf-8")


def test_the_page_is_for_its_owner_and_overwrites_nothing(workflow, ran, page):
    assert 0o600 == ran.stat().st_mode & 0o777
    refused = workflow.fails("execution", "report", "latest", "--html", ran, code=11)
    assert f"there is a file at {ran} already" == refused
    assert page == ran.read_text(encoding="utf-8")
    ran.write_text("old")
    told = workflow("execution", "report", "latest", "--html", ran, "--force", "--quiet")
    assert (0, "", "") == (told.returncode, told.stdout, told.stderr)
    assert page == ran.read_text(encoding="utf-8"), "the same rows give the same page"
    assert ["attacked.yaml", "report.html"] == sorted(path.name for path in workflow.user.iterdir())


def test_nothing_of_a_task_or_a_document_is_markup(page):
    seen = Parsed(page)
    assert (1, 1, 0, 0, 1) == tuple(map(seen.count, ("script", "style", "img", "iframe", "h1")))
    assert not [name for _, attrs in seen.elements for name in attrs if name.startswith("on") or name == "style"]
    urls = [attrs.get("href") or attrs.get("src") for _, attrs in seen.elements if "href" in attrs or "src" in attrs]
    assert urls
    assert all(url.startswith("#") for url in urls), "links lead to places on the page only"
    assert "http-equiv" in dict(seen.elements[3][1])
    for shown in (
        "</script><script>window.pwned = 1</script>",
        "{{ secrets.TOKEN }} ${7*7} %s {0} &lt;b&gt;",
        "turned \\u202e round \\u2066 and \\u200e on",
        "nul \\x00 and \\x9b31m",
        "\\x1b]0;pwned\\x07\\x1b[2Jred",
        "bad \ufffd\ufffd bytes",
        "the token is ***SECRET***",
        "err to stderr",
        "<b>bold</b> & </title><script>window.pwned = 3</script>",
        "</details><h1>forged</h1>",
        "https://example.com/?a=1&b=<2>",
        "<i>today</i>",
        "exited with code 3",
    ):
        assert shown in seen.text, shown
    assert not set(map(chr, [*range(9), *range(11, 32), 0x7F, *range(0x80, 0xA0), 0x202E, 0x2066, 0x200E])) & set(page)


def test_secrets_are_names_and_outputs_are_not_there(page):
    assert SECRET not in page
    assert "unused-value" not in page
    assert 'Bearer <code>{{ <b class="secret">secrets.TOKEN</b> }}</code>' in page
    assert "{{{{ no &lt;b&gt;expression&lt;/b&gt; }}" in page
    text = Parsed(page).text
    assert "TOKEN from the store" in text
    assert "UNUSED not used" in text
    assert "masked" in text
    assert "stdoutTruncated" not in page, "an output is shown by `execution show`, where the key is"


def test_the_policy_names_our_script_and_style_and_nothing_else(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/=]{44}'; script-src 'sha256-[\w+/=]{44}'; base-uri 'none'; "
        r"form-action 'none'",
        policy,
    )


def test_a_report_needs_no_key_and_an_execution(workflow, ran, home):
    (home / "secret.key").unlink()
    (home / "secrets.db").unlink()
    workflow.ok("execution", "report", "latest", "--html", ran)
    assert "no execution 'nobody'" in workflow.fails("execution", "report", "nobody", "--html", "x.html", code=2)
    said = workflow.fails("execution", "report", "latest", "--html", "no/x.html", code=2)
    assert "no such file or directory: 'no/x.html'" == said
    assert workflow.ok("execution", "report", "latest", "--html", "-").startswith("<!DOCTYPE html>")
    assert not (workflow.user / "-").exists()
    assert not (workflow.user / "x.html").exists()


def test_without_executions_there_is_no_report(workflow, home):
    assert "there is no execution yet" == workflow.fails("execution", "report", "latest", "--html", "x.html", code=2)
    assert not home.exists()


def test_much_is_bounded_and_says_what_is_left_out(workflow):
    flow = {
        "id": "much",
        "tasks": [
            {
                "id": "noisy",
                "type": "core/python.run",
                "inputs": {"script": "for n in range(100_000): print('line', n)\nprint('x' * 5000)"},
            },
            {
                "id": "each",
                "type": "core/shell.run",
                "forEach": list(range(20)),
                "continueOnError": True,
                "inputs": {"script": "echo item {{ item }}; test {{ item }} -ne 7"},
            },
        ],
    }
    file = workflow.user / "much.yaml"
    file.write_text(json.dumps(flow), encoding="utf-8")
    workflow.ok("run", file, "--quiet")
    workflow.ok("execution", "report", "latest", "--html", "much.html")
    page = (workflow.user / "much.html").read_text(encoding="utf-8")
    assert len(page) < 3_000_000
    text = Parsed(page).text
    lines = [int(number) for number in re.findall(r">line (\d+)<", page)]
    assert [*range(2_499), *range(92_501, 100_000)] == lines, "the first and the last line are others"
    (id_,) = set(re.findall(r"\w{16}(?= --task)", text))
    assert f"[90,002 lines of noisy are left out here; all of them: workflow execution logs {id_} --task noisy]" in text
    assert "[3,000 more characters]" in text
    assert "each[7]" in text
    assert "20 items, 1 failed" in text
    assert "1 FAILED, 19 SUCCESS" in text


def test_of_thousands_of_tasks_those_that_went_wrong_are_shown(workflow):
    shell = {"type": "core/shell.run", "inputs": {"script": "exit 3"}}
    tasks = [{"id": f"skipped{n}", "when": False, **shell} for n in range(1_100)]
    flow = {"id": "thousand", "tasks": [*tasks, {"id": "broken", **shell, "continueOnError": True}]}
    (workflow.user / "flow.yaml").write_text(json.dumps(flow), encoding="utf-8")
    workflow.ok("run", "flow.yaml", "--quiet")
    workflow.ok("execution", "report", "latest", "--html", "flow.html")
    seen = Parsed((workflow.user / "flow.html").read_text(encoding="utf-8"))
    assert 1_000 == sum(attrs.get("class") == "task" for _, attrs in seen.elements)
    assert any(attrs.get("id") == "task-1100" for _, attrs in seen.elements), "the one that failed is the last one"
    assert "[101 more tasks, none of which went wrong, are left out]" in seen.text
    assert "1,101 tasks are too many for a picture" in seen.text


def test_little_is_a_page_too(workflow):
    flow = {
        "id": "little",
        "tasks": [
            {"id": "a", "type": "core/shell.run", "inputs": {"script": "true"}},
            {"id": "b", "type": "core/shell.run", "needs": ["a"], "inputs": {"script": "true"}},
            {"id": "c", "type": "core/shell.run", "needs": ["a", "b"], "inputs": {"script": "true"}},
        ],
    }
    (workflow.user / "flow.yaml").write_text(json.dumps(flow), encoding="utf-8")
    workflow.ok("run", "flow.yaml", "--quiet")
    workflow.ok("execution", "report", "latest", "--html", "flow.html")
    seen = Parsed((workflow.user / "flow.html").read_text(encoding="utf-8"))
    assert "Nothing was printed." in seen.text
    assert 3 == sum(attrs.get("class") == "line" for _, attrs in seen.elements)
