"""Lists occurrences of words that the project's prose avoids, each with a plain word to use.

    python tools/check_wording.py            # every occurrence, and the count of each area
    python tools/check_wording.py --summary  # counts by word and by area
    python tools/check_wording.py docs       # only paths that begin with this one

It checks docstrings, comments and string literals of the two packages, the HTML template, and the text
of documents and examples. It does not check code: identifiers, code blocks, inline code and output. Exit
status 1 means that an area has more occurrences than its budget.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

# The most occurrences that an area may have. Lower a budget when its area has fewer; never raise it.
BUDGETS = {"docs": 0, "core": 0, "carbon_callbacks": 1, "html": 0}

_FILES = {
    "docs": ("*.md", "docs/*.md", "examples/*.py"),
    "core": ("core/**/*.py",),
    "carbon_callbacks": ("carbon_callbacks/**/*.py",),
    "html": ("carbon_callbacks/cli/html/*.j2",),
}


class Rule(NamedTuple):
    """A word to avoid.

    Attributes:
        word: Its name in the list.
        pattern: Regular expression that finds it; a space matches any white space.
        use: What to write instead.
        example: Text in which it is found.
    """

    word: str
    pattern: str
    use: str
    example: str


_RUNS = r"(?:run|training|process|program|job|command|machine|project|side|epoch)s?"

RULES = (
    Rule(
        "tell",
        r"\b(?:tell|tells|told|telling)\b",
        "report, send, log, warn; distinguish",
        "told of it",
    ),
    Rule(
        "say",
        r"\b(?:say|says|said|saying)\b",
        "set, state, report, describe, contain",
        "the file says",
    ),
    Rule(
        "ask",
        r"\b(?:ask|asks|asked|asking)\b",
        "request, query, fetch; prompt; enable",
        "it asks for",
    ),
    Rule("answer", r"\banswer(?:s|ed|ing)?\b", "response; respond, return", "the answer is late"),
    Rule("hear", r"\b(?:hear|hears|heard|hearing)\b", "receive", "it hears of ranks"),
    Rule("speak", r"\b(?:speak|speaks|spoke|spoken)\b", "use, support, report", "it speaks HTTP"),
    Rule("knows", r"\bknows\b", "has, stores, uses, supports", "it knows the id"),
    Rule(
        "know",
        r"(?<!\byou\s)(?<!users\s)(?<!should\s)(?<!must\s)\bknow\b|\bwhat is known of\b",
        "have, detect; state",
        "what is known of it",
    ),
    Rule(
        "learn",
        r"\blearn(?:s|ed|t)? (?:the|where|what|about|of|its|those)\b|\bnot learned\b",
        "determine, detect, receive",
        "learn the place",
    ),
    Rule("teach", r"\b(?:teach|teaches|taught)\b", "install, configure", "it teaches the shell"),
    Rule(
        "want",
        r"(?<!\byou\s)\b(?:want|wants|wanted|wanting)\b",
        "need, require; requested",
        "it wants pip",
    ),
    Rule(
        "nobody",
        r"\b(?:nobody|somebody|everybody|anybody)\b",
        "unset, unknown; a process, a user",
        "nobody set it",
    ),
    Rule(
        "who",
        r"\bwhom\b|\bwhoever\b|\bthe one who\b|\bwho (?:says?|wins?|measures|else|uses|shares)\b",
        "source, precedence, owner, recipient",
        "who wins",
    ),
    Rule("people", r"\bpeople\b", "users; human-readable", "lines for people"),
    Rule(
        "go on",
        r"\b(?:go|goes|went|gone|going) (?:on|round)\b",
        "continue, run; be forwarded",
        "the run goes on",
    ),
    Rule(
        "come to",
        r"\b(?:come|comes|came|coming) (?:to|of|back|up)\b|\bwhat be(?:comes?|came) of\b",
        "total, result; reach, return, recover",
        "it came to 2 kWh",
    ),
    Rule(
        "what a run",
        rf"\bwhat (?:a|an|the|this|each|every|earlier|killed) {_RUNS}\b",
        "energy use of, results of, data of",
        "what a run has",
    ),
    Rule(
        "took", r"\bwhat (?:\w+ ){1,2}took\b|\bwhat took\b", "used, consumed", "what each one took"
    ),
    Rule(
        "drew",
        r"\bdrew\b|\bwhat (?:\w+ ){1,3}draws?\b|" + rf"\b{_RUNS} draws?\b",
        "consumed, used; energy use",
        "a run drew 2 kWh",
    ),
    Rule(
        "drawn",
        r"\b(?:what|joules|kwh) (?:(?:was|were|is|has|had|have|been) )*drawn\b"
        r"|\bdrawn (?:after|before|since|during)\b",
        "consumed, used",
        "what was drawn later",
    ),
    Rule(
        "carry over",
        r"\bcarr(?:y|ies|ied|ying) (?:over|on)\b",
        "extrapolate; continue",
        "carried over",
    ),
    Rule(
        "of no use",
        r"(?<!terms\s)\bof (?:no |any |some )?use\b(?! of)",
        "invalid, unusable",
        "of no use",
    ),
    Rule(
        "left alone",
        r"\b(?:left|leave|leaves|leaving) (?:\w+ )?alone\b"
        r"|\bleft (?:to|on) (?:itself|themselves|its own)\b",
        "skipped, backed off, abandoned; unchanged",
        "it is left alone",
    ),
    Rule("let go", r"\b(?:let|lets|letting) (?:\w+ )?go\b", "release", "let go of the library"),
    Rule("lead", r"\b(?:lead|leads|led)\b(?! to\b)", "wrap", "the callback leads the method"),
    Rule("patience", r"\bpatien(?:ce|t)\b", "backoff, retry delay", "it asked for patience"),
    Rule(
        "look",
        r"\b(?:look|looks|looked)\b(?![ -]?(?:up|ups|for|like)\b)",
        "sample, check, poll, read",
        "two looks at it",
    ),
    Rule("in words", r"\bin (?:a few )?words\b", "as text, message", "why, in words"),
    Rule(
        "hold",
        r"\b(?:holds?|held) (?:for|until|till|all along|then|good|true|where|here)\b",
        "apply, be valid",
        "it holds for a day",
    ),
    Rule(
        "stand",
        r"\b(?:stands?|stood) (?:for|in|at|there|here|beside|under|below|just|wherever|where)\b"
        r"|\bit (?:would )?stands?\b|\bto stand\b",
        "is; represents, replaces",
        "it stands for a value",
    ),
    Rule("lie", r"\b(?:lie|lies|lay)\b", "is, is in, is located", "where the file lies"),
    Rule("see to it", r"\bsees? to it\b", "ensure, enforce", "it sees to it"),
    Rule("ours", r"\bours\b|\bof yours\b", "of this package; your own", "a file of ours"),
    Rule(
        "of your own",
        r"\bof (?:your|one's) own\b|\bof the user's\b",
        "your own, custom, user-defined",
        "a loop of your own",
    ),
    Rule(
        "life",
        r"(?:'s|\bits|\btheir) (?:own )?(?:life|lives)\b(?![- ]?cycle)",
        "lifecycle, states",
        "a training's life",
    ),
    Rule(
        "start",
        r"\b(?:all|its|earlier|several|these|those|both|other|many|previous) starts\b"
        r"|\bstarts and ranks\b|\branks and starts\b|\b(?:this|that|each|one|another|every) start\b",
        "run, run attempt, segment",
        "all starts count",
    ),
    Rule(
        "price",
        r"\b(?:re)?pric(?:e|es|ed|ing)\b(?! areas?\b)",
        "grid intensity; compute or recompute emissions",
        "the price of an hour",
    ),
    Rule(
        "together",
        r"\b(?:all|ranks|starts|runs|devices)(?: of \w+)? together\b|\Atogether\Z",
        "total, combined",
        "all ranks together",
    ),
    Rule(
        "rank shares",
        r"\bshares? of (?:(?:a|the|each|other|all) )?ranks?\b|\branks?'?s? shares?\b",
        "rank totals",
        "shares of ranks",
    ),
    Rule("in all", r"\bin all\b(?=[,.;:)]|\Z)", "in total", "2 kWh in all"),
    Rule(
        "whose grid",
        r"\bwhose grid\b|\bgrid counts\b",
        "location, intensity source",
        "whose grid counts",
    ),
    Rule("used up", r"\bused up\b", "used", "half of it is used up"),
    Rule("worth", r"\bworth\b(?! (?:it|noting))", "quality, grade", "what a meter is worth"),
    Rule("harm", r"\bharms?\b", "affect, interfere with, stop", "it harms no run"),
    Rule("anew", r"\banew\b|\bonce more\b", "again", "read anew"),
    Rule("reckon", r"\breckon(?:s|ed)?\b", "compute, estimate", "how it was reckoned"),
    Rule("dear", r"\bdear(?:er|est)?\b", "expensive, slow", "the dearest module"),
    Rule("its like", r"\b(?:its|their) like\b", "similar ones", "names and their like"),
    Rule(
        "sister",
        r"\bsisters?\b|\bbrothers?\b|'s word\b|\bscrapped\b",
        "variant, counterpart",
        "its sister",
    ),
    Rule("door", r"\b(?:one|only) door\b", "the only module, client", "the one door to it"),
    Rule("foot", r"\bat the foot\b", "at the bottom, below", "red at the foot"),
)

# Literals of one word are keys, except these, which are shown.
_LABELS = ("together",)

_COMPILED = [(rule, re.compile(rule.pattern.replace(" ", r"\s+"), re.IGNORECASE)) for rule in RULES]


class Occurrence(NamedTuple):
    """An occurrence of a word to avoid."""

    path: str
    line: int
    text: str
    rule: Rule

    def __str__(self) -> str:
        """Return the line to print."""
        return f"{self.path}:{self.line}: {' '.join(self.text.split())} -> {self.rule.use}"


class _Piece(NamedTuple):
    """A piece of prose: its text, its first line, and the source lines that it may span."""

    text: str
    line: int
    source: list[str]

    def line_of(self, match: re.Match[str]) -> int:
        newlines = self.text.count("\n")
        if newlines >= len(self.source) - 1:
            return self.line + self.text.count("\n", 0, match.start())
        # Adjacent literals are one text: find the line by the word itself.
        first = match.group().split()[0]
        found = (i for i, line in enumerate(self.source) if first in line)
        return self.line + next(found, 0)


def main(arguments: list[str]) -> int:
    """Print the occurrences or their counts; return the exit status."""
    is_summary = "--summary" in arguments
    prefixes = tuple(a for a in arguments if not a.startswith("-"))
    found = {area: list(occurrences_in(area)) for area in BUDGETS}
    for occurrences in found.values():
        for one in occurrences:
            if not is_summary and one.path.startswith(prefixes or ""):
                print(one)
    if is_summary:
        _print_words(found)
    for area, occurrences in found.items():
        print(f"{area}: {len(occurrences)} (budget {BUDGETS[area]})")
    return int(any(len(found[area]) > budget for area, budget in BUDGETS.items()))


def _print_words(found: dict[str, list[Occurrence]]) -> None:
    """Print a table of words by area, the most frequent first."""
    total = Counter(one.rule.word for occurrences in found.values() for one in occurrences)
    counts = {area: Counter(one.rule.word for one in found[area]) for area in found}
    print("".join(f"{name:>18}" for name in ("word", "total", *counts)))
    for word, count in total.most_common():
        row = (word, count, *(counts[area][word] for area in counts))
        print("".join(f"{cell:>18}" for cell in row))


def occurrences_in(area: str) -> Iterator[Occurrence]:
    """Yield the occurrences in an area's files, in their order."""
    for path in files_of(area):
        text = path.read_text(encoding="utf-8")
        yield from occurrences(path.relative_to(ROOT).as_posix(), text)


def files_of(area: str) -> Iterator[Path]:
    """Yield the files of an area."""
    for pattern in _FILES[area]:
        yield from sorted(ROOT.glob(pattern))


def occurrences(path: str, text: str) -> Iterator[Occurrence]:
    """Yield the words to avoid in a file's prose.

    Args:
        path: The file's path; its suffix selects the syntax.
        text: The file's text.
    """
    found = [
        Occurrence(path, piece.line_of(match), match.group(), rule)
        for piece in _pieces(path, text)
        for rule, compiled in _COMPILED
        for match in compiled.finditer(piece.text)
    ]
    yield from sorted(found, key=lambda one: one.line)


def _pieces(path: str, text: str) -> Iterator[_Piece]:
    """Yield the pieces of prose of a file."""
    if path.endswith(".py"):
        yield from _comments(text)
        yield from _literals(text)
    elif path.endswith(".md"):
        yield _Piece(_markdown(text), 1, [])
    else:
        yield _Piece(_template(text), 1, [])


# --- Python -------------------------------------------------------------------------------------------


def _comments(text: str) -> Iterator[_Piece]:
    """Yield the comments; comments on successive lines are one piece."""
    lines: list[str] = []
    first = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            if lines and token.start[0] != first + len(lines):
                yield _Piece(_plain("\n".join(lines)), first, [])
                lines = []
            if not lines:
                first = token.start[0]
            # Directives for linters are code.
            lines.append(re.sub(r"^#\s?(?:noqa|type|pragma)\b[^-]*", "", token.string).lstrip("# "))
    if lines:
        yield _Piece(_plain("\n".join(lines)), first, [])


def _literals(text: str) -> Iterator[_Piece]:
    """Yield docstrings and string literals; the fields of an f-string are blanked."""
    tree = ast.parse(text)
    lines = text.splitlines()
    inside = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in [*node.values, *_format_specs(node)]
    }
    for node in ast.walk(tree):
        if id(node) in inside:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            value = node.value
        elif isinstance(node, ast.JoinedStr):
            value = "".join(
                str(getattr(part, "value", "")) if isinstance(part, ast.Constant) else "{}"
                for part in node.values
            )
        else:
            continue
        if not _is_identifier(value):
            source = lines[node.lineno - 1 : node.end_lineno]
            yield _Piece(_plain(value), node.lineno, source)


def _format_specs(node: ast.JoinedStr) -> Iterator[ast.AST]:
    """Yield the format specifications of an f-string, which are f-strings in the syntax tree."""
    for part in node.values:
        if isinstance(part, ast.FormattedValue) and part.format_spec is not None:
            yield part.format_spec
            yield from ast.walk(part.format_spec)


def _is_identifier(value: str) -> bool:
    """Return whether a literal is a key, an option, a path or the like."""
    return " " not in value.strip() and value not in _LABELS


def _plain(text: str) -> str:
    """Blank inline code, URLs and argument names in a docstring or comment."""
    text = _blank(r"``[^`]*``|`[^`]*`|https?://\S+", text)
    return _blank(r"(?m)^ +\*{0,2}\w+(?=: )", text)


# --- documents ----------------------------------------------------------------------------------------


def _markdown(text: str) -> str:
    """Blank code, link targets, comments and tags in a document."""
    text = _blank(r"(?ms)^ *```.*?^ *```|<!--.*?-->", text)
    text = _blank(r"``[^`]*``|`[^`]*`|https?://\S+", text)
    text = _blank(r"(?<=\])\([^)]*\)", text)
    return _keep_attributes(text)


def _template(text: str) -> str:
    """Blank scripts, styles, tags and expressions of a template, except text in expressions."""
    text = _blank(r"(?s)<style>.*?</style>|<script\b.*?</script>", text)
    text = re.sub(r"(?s)\{\{.*?\}\}|\{%.*?%\}", _only_quoted, text)
    return _keep_attributes(text)


def _keep_attributes(text: str) -> str:
    """Blank tags, except attributes with text for screen readers."""

    def shown(tag: re.Match[str]) -> str:
        kept = re.search(r'\b(?:alt|title|aria-label)="([^"]*)"', tag.group())
        if kept is None:
            return _spaces(tag.group())
        before, after = tag.group()[: kept.start(1)], tag.group()[kept.end(1) :]
        return _spaces(before) + kept.group(1) + _spaces(after)

    return re.sub(r"(?s)</?[a-zA-Z!][^<>]*>", shown, text)


def _only_quoted(expression: re.Match[str]) -> str:
    """Return a template's expression with everything but quoted text blanked."""
    parts = re.split(r'("[^"]*")', expression.group())
    return "".join(f" {part[1:-1]} " if part.startswith('"') else _spaces(part) for part in parts)


def _blank(pattern: str, text: str) -> str:
    """Replace matches by characters that are not part of a word; keep the line breaks."""
    return re.sub(pattern, lambda match: _spaces(match.group(), "\N{MIDDLE DOT}"), text)


def _spaces(text: str, by: str = " ") -> str:
    return re.sub(r"[^\n]", by, text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
