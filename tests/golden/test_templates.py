"""`prompteur template` against jinja2: the same text, byte for byte, or an error where jinja2 raises one.

Three parts: small templates of our own rendered by jinja2 here and now (template_cases.py); published chat templates
with goldens of the reference library; templates that try to take all time and memory. jinja2 is set up as transformers
does for chat templates: an immutable sandbox, trim_blocks, lstrip_blocks, loop controls, a `generation` block that is
its body, tojson without HTML escapes, raise_exception and strftime_now."""

import datetime
import json
import os
import subprocess
import time
from pathlib import Path

import jinja2
import jinja2.ext
import jinja2.sandbox
import pytest
from template_cases import CASES, REFUSED, VARIABLES

PROGRAM = os.environ.get("PROMPTEUR_PROGRAM", "build/release/bin/prompteur")
TESTDATA = os.environ.get("PROMPTEUR_TESTDATA")
NOW = datetime.datetime(2024, 7, 26, 13, 5, 9, 123456)

needs_testdata = pytest.mark.skipif(not TESTDATA, reason="PROMPTEUR_TESTDATA is not set: no reference goldens here")


# ---------------------------------------------------------------- the reference


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("render"), [], [], body).set_lineno(line)

    def render(self, caller):
        return caller()


class Namespace(jinja2.utils.Namespace):
    def __init__(*args, **kwargs):
        self, rest = args[0], args[1:]
        attrs = dict(*rest, **kwargs)
        for name in attrs:
            Namespace.check(name)
        jinja2.utils.Namespace.__init__(self, attrs)

    def __setitem__(self, name, value):
        Namespace.check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def check(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(name)


class Dict:
    def __call__(self, *args, **kwargs):
        return dict(*args, **kwargs)

    def fromkeys(self, *args, **kwargs):
        return dict.fromkeys(*args, **kwargs)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def reference_environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals.update(raise_exception=raise_exception, strftime_now=lambda format: NOW.strftime(format), dict=Dict(),
                       namespace=Namespace)
    return env


def reference(template, variables):
    """(text, None), or (None, the template's own message, or "" for any other error)."""
    try:
        return reference_environment().from_string(template).render(**variables), None
    except jinja2.exceptions.TemplateError as e:
        return None, str(e) if type(e) is jinja2.exceptions.TemplateError else ""
    except Exception:
        return None, ""


# ---------------------------------------------------------------- the program


def run_template(path, lines):
    """An answer for each line; one error for all when the template is not valid."""
    result = subprocess.run([PROGRAM, "template", "--template", path], input="".join(json.dumps(x) + "\n" for x in lines),
                            capture_output=True, text=True, timeout=60)
    assert result.returncode in (0, 1), result.stderr
    if result.returncode == 1:
        return [{"error": result.stderr}] * len(lines)
    return [json.loads(line) for line in result.stdout.splitlines()]


def render(tmp_path, template, variables):
    path = tmp_path / "t.jinja"
    path.write_bytes(template.encode())
    return run_template(path, [dict(variables, now=NOW.isoformat())])[0]


def check(answer, text, message):
    if text is not None:
        assert answer == {"text": text}
    else:
        assert "error" in answer
        if message:
            assert answer["error"] == message
        else:
            assert "chat template, line " in answer["error"]


@pytest.mark.parametrize("template", CASES)
def test_small_template(template, tmp_path):
    text, message = reference(template, dict(VARIABLES, tools=None, documents=None, add_generation_prompt=False))
    check(render(tmp_path, template, VARIABLES), text, message)


@pytest.mark.parametrize("template", REFUSED)
def test_refused_by_name(template, tmp_path):
    assert reference(template, VARIABLES)[0] is not None or "ud800" in template
    answer = render(tmp_path, template, VARIABLES)
    words = ("not supported", "unsupported operand", "beyond 64 bits", "surrogate", "\\N{...}")
    assert any(w in answer["error"] for w in words), answer


# ---------------------------------------------------------------- published templates


def golden_names():
    return sorted(p.stem for p in Path(TESTDATA, "goldens/chat_templates").glob("*.jsonl")) if TESTDATA else []


@needs_testdata
@pytest.mark.parametrize("name", golden_names())
def test_published_template(name):
    goldens = Path(TESTDATA, "goldens/chat_templates")
    given = json.loads((goldens / "conversations.json").read_text())
    special = json.loads(Path(TESTDATA, "chat_templates/index.json").read_text())[name]
    rows = [json.loads(line) for line in (goldens / (name + ".jsonl")).read_text().splitlines()]
    lines = []
    for row in rows:
        conversation = dict(given["conversations"][row["conv"]])
        lines.append(dict(conversation, **conversation.pop("kwargs", {}), now=given["now"],
                          add_generation_prompt=row["add_generation_prompt"], bos_token=special["bos_token"],
                          eos_token=special["eos_token"]))
    answers = run_template(Path(TESTDATA, "chat_templates", name + ".jinja"), lines)
    assert len(answers) == len(rows) > 0
    for row, answer in zip(rows, answers):
        check(answer, row.get("out"), row.get("message") if row.get("error") == "TemplateError" else "")


# ---------------------------------------------------------------- the command


def test_wrong_lines_get_errors_and_the_rest_goes_on(tmp_path):
    path = tmp_path / "t.jinja"
    path.write_text("{{ messages|length }}{{ tools is none }}{{ add_generation_prompt }}{{ strftime_now('%H:%M:%S') }}")
    lines = ["{", "[]", '{"messages": 1}', "", '{"messages": [], "now": "soon"}', '{"messages": [], "now": "2024-07-26"}',
             '{"messages": [1], "now": "2024-07-26T01:02:03", "tools": [], "add_generation_prompt": true}']
    result = subprocess.run([PROGRAM, "template", "--template", path], input="\n".join(lines), capture_output=True, text=True)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 0
    assert [list(a) for a in answers] == [["error"]] * 4 + [["text"]] * 2
    assert answers[4] == {"text": "0TrueFalse00:00:00"} and answers[5] == {"text": "1FalseTrue01:02:03"}


def test_answers_come_while_the_input_is_open(tmp_path):
    path = tmp_path / "t.jinja"
    path.write_text("{{ x }}")
    with subprocess.Popen([PROGRAM, "template", "--template", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        for x in range(3):
            process.stdin.write(json.dumps({"messages": [], "x": x}) + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline()) == {"text": str(x)}


def test_a_template_that_is_not_there():
    result = subprocess.run([PROGRAM, "template", "--template", "/nonexistent.jinja"], input="", capture_output=True, text=True)
    assert result.returncode == 1 and "nonexistent.jinja" in result.stderr


# ---------------------------------------------------------------- hostile templates


HOSTILE = [
    "{{ 'a' * 10**9 }}", "{{ [1] * 10**9 }}", "{{ 'a' * 10**18 }}", "{{ '%999999999d' % 1 }}", "{{ '{:999999999}'.format(1) }}", "{{ '%.999999999f' % 1 }}",
    "{{ 'a'.center(10**9) }}", "{{ 'a'.zfill(10**10) }}", "{{ '\t'.expandtabs(10**9) }}", "{{ 'a'|indent(10**10) }}", "{{ {}|tojson(indent=10**10) }}{{ [1]|tojson(indent=10**10) }}",
    "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
    "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(100000) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", "{% set ns = namespace(s='') %}{% for i in range(100000) %}{% set ns.s = ns.s + 'aaaaaaaaaa' %}{% endfor %}{{ ns.s|length }}",
    "{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.l|length }}", "{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}",
    "{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l|tojson }}", "{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l == ns.l }}{{ [ns.l] == [[ns.l]] }}",
    "{% set ns = namespace(l=[]) %}{% for i in range(40) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}", "{% set ns = namespace(l=[]) %}{% for i in range(40) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l == (ns.l + []) }}",
    "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}", "{% set ns = namespace(g=[1]) %}{% for i in range(100000) %}{% set ns.g = ns.g|map('string') %}{% endfor %}{{ ns.g|list }}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{% macro f(x) %}{{ f(x ~ x) }}{% endmacro %}{{ f('aaaa') }}",
    "{% macro f(n) %}{% for i in range(10) %}{{ f(n + 1) }}{% endfor %}{% endmacro %}{{ f(0) }}", "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "{% set s = 'ab' * 20000 %}{% for i in range(100000) %}{{ s|replace('a', 'cccccccccc')|length }}{% endfor %}", "{% set s = 'a' * 20000 %}{% for i in range(1000) %}{{ s|replace('a', s)|length }}{% endfor %}",
    "{{ ('a' * 1000000).replace('', 'b' * 1000) }}", "{% set s = 'a' * 3000000 %}{{ s.rfind('a' * 1500000 ~ 'b') }}{{ s.rsplit('a' * 1500000 ~ 'b') }}{{ s.strip('b' * 1000000 ~ 'a') }}", "{% set s = 'a' * 3000000 %}{{ s.find('a' * 1500000 ~ 'b') }}{{ s.count('a' * 1500000 ~ 'b') }}{{ ('a' * 1500000 ~ 'b') in s }}",
    "{% set s = 'é' * 1000000 %}{% for i in range(100000) %}{{ s[i] }}{% endfor %}", "{% set s = 'é' * 1000000 %}{% for i in range(100000) %}{{ s|length }}{% endfor %}", "{% set s = 'Σ' * 1000000 %}{{ s.lower()|length }}", "{{ range(10**18)|length }}", "{{ range(99999)|map('string')|map('upper')|map('replace', '1', 'x' * 10000)|join|length }}", "{{ 2 ** 10 ** 18 }}", "{{ -1 ** 10**18 }}{{ 7 ** 10**18 }}",
    "{{ (range(100000)|list + range(100000)|list)|unique|list|sort|groupby('x')|length }}" * 50, "{% for i in range(100000) %}{{ messages|tojson(indent=2) }}{% endfor %}", "{{ " + "(" * 5000 + ")" * 5000 + " }}", "{{ " + "-" * 5000 + "1 }}", "{{ " + "not " * 5000 + "1 }}", "{{ 1" + " + 1" * 5000 + " }}", "{{ a" + ".b" * 5000 + " }}", "{{ a" + "|upper" * 5000 + " }}", "{{ 1" + " if 1 else 1" * 5000 + " }}", "{{ " + "[" * 5000 + "]" * 5000 + " }}", "{% if 1 %}" * 5000 + "{% endif %}" * 5000, "{% for i in [1] %}" * 300 + "{% endfor %}" * 300,
    "{{ '" + "{" * 5000 + "'.format() }}", "{{ '%s' * 100000 % (('a' * 100000,) * 100000) }}", "{% for i in range(100000) %}{% set x %}{{ 'a' * 10000 }}{% endset %}{% endfor %}", "{{ ('a' * 100000)|wordwrap(1) }}" * 20, "{{ (['a'] * 100000)|join('b' * 10000) }}", "{{ ('a,' * 20000).split(',')|length }}" * 500, "".join("{%% set a%d = 1 %%}" % i for i in range(30000)), "".join("{%% if a%d %%}{%% set a%d = 1 %%}{%% endif %%}" % (i, i) for i in range(4000)),
    "{% for i in range(100000) %}{{ strftime_now('%c' * 1000) }}{% endfor %}", "{{ floats * 100000 }}", "{% for i in range(100000) %}{% for a, b in d.items() %}{% for c in a %}{% endfor %}{% endfor %}{% endfor %}", "{{ dict.fromkeys(range(100000))|string|length }}" * 30,
]


@pytest.mark.parametrize("template", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_template_ends(template, tmp_path):
    """Whether it gives a text or an error is its own business: it ends soon and the process lives."""
    start = time.monotonic()
    answer = render(tmp_path, template, VARIABLES)
    assert time.monotonic() - start < 20  # a bound that even a sanitizer on a busy machine keeps
    assert set(answer) in ({"text"}, {"error"})
