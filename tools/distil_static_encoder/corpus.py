"""The texts that the static encoder is distilled on. Each source is permissively licensed; the card lists them."""

from __future__ import annotations

import ast
import gzip
import hashlib
import html.parser
import json
import random
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

SOURCES: dict[str, int] = {
    "wordnet definitions": 30_000,
    "wordnet examples": 12_000,
    "python documentation": 6_000,
    "rust documentation": 5_000,
    "postgresql documentation": 4_000,
    "sqlite documentation": 2_000,
    "jargon file": 3_000,
    "devil's dictionary": 1_000,
    "docstrings": 6_000,
    "code": 4_000,
    "arena-hard prompts": 1_300,
    "mbpp prompts": 500,
    "crux prompts": 800,
    "theoremqa questions": 700,
    "questions from templates": 12_000,
    "arithmetic from templates": 3_000,
}
"""At most so many texts are drawn from each source."""

JOINED = 6_000
"""So many texts are made by joining two to five of the others."""


def build(sources: Path, data: Path, *, seed: int) -> list[tuple[str, str]]:
    """(source, text) pairs in a seeded random order, no text twice; `join` adds more.

    `sources` holds the unpacked Debian packages and the wheels that README.md names, `data` the prompt sets.
    """
    readers: dict[str, Callable[[], Iterator[str]]] = {
        "wordnet definitions": lambda: wordnet(sources, "definitions", seed),
        "wordnet examples": lambda: wordnet(sources, "examples", seed),
        "python documentation": lambda: restructured_text(sources / "python3.11-doc"),
        "rust documentation": lambda: web_pages(sources / "rust-doc", "book", "reference", "nomicon", "cargo"),
        "postgresql documentation": lambda: web_pages(sources / "postgresql-doc-15", "html"),
        "sqlite documentation": lambda: web_pages(sources / "sqlite3-doc", "sqlite3"),
        "jargon file": lambda: dictionary(sources / "dict-jargon/usr/share/dictd/jargon.dict.dz"),
        "devil's dictionary": lambda: dictionary(sources / "dict-devil/usr/share/dictd/devil.dict.dz"),
        "docstrings": lambda: python_files(sources, docstrings=True),
        "code": lambda: python_files(sources, docstrings=False),
        "arena-hard prompts": lambda: arena_hard(data),
        "mbpp prompts": lambda: json_field(data / "routerbench_subset/mbpp_winogrande.jsonl.gz", "prompt", is_mbpp),
        "crux prompts": lambda: json_field(data / "zeroeval/crux_math.jsonl.gz", "question", is_crux),
        "theoremqa questions": lambda: json_field(
            data / "mmlu_pro/mmlu_pro_per_question.jsonl.gz", "question", is_theoremqa
        ),
        "questions from templates": lambda: template_questions(sources, seed),
        "arithmetic from templates": lambda: arithmetic(seed),
    }
    drawn: dict[str, str] = {}
    for source, at_most in SOURCES.items():
        texts = sorted({clean(text) for text in readers[source]()} - {""})
        random.Random(f"{seed} {source}").shuffle(texts)
        for text in texts[:at_most]:
            drawn.setdefault(text, source)
    return in_random_order([(source, text) for text, source in drawn.items()], seed)


def join(pairs: list[tuple[str, str]], n_joined: int, seed: int) -> list[tuple[str, str]]:
    """Long texts, made of two to five of the given ones."""
    rng = random.Random(f"{seed} joined")
    parts = [text for _, text in pairs]
    joined = {
        rng.choice(["\n", "\n\n", " "]).join(rng.sample(parts, rng.randint(2, 5)))[:2_000] for _ in range(n_joined)
    }
    return [("joined", text) for text in sorted(joined)]


def in_random_order(pairs: list[tuple[str, str]], seed: int) -> list[tuple[str, str]]:
    return sorted(pairs, key=lambda pair: hashlib.sha256(f"{seed} {pair[1]}".encode()).digest())


def clean(text: str) -> str:
    return text.strip()[:1_500] if len(text.strip()) >= 12 else ""


# --- Readers ---------------------------------------------------------------------------------------------------


def synsets(sources: Path) -> Iterator[tuple[list[str], str]]:
    """(words, gloss) of each WordNet synset."""
    for part in ("noun", "verb", "adj", "adv"):
        path = sources / f"wordnet-base/usr/share/wordnet/data.{part}"
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("  "):
                continue
            fields, _, gloss = line.partition(" | ")
            columns = fields.split()
            words = [columns[4 + 2 * n].replace("_", " ").split("(")[0] for n in range(int(columns[3], 16))]
            yield words, gloss.strip()


def wordnet(sources: Path, kind: str, seed: int) -> Iterator[str]:
    rng = random.Random(f"{seed} wordnet {kind}")
    for words, gloss in synsets(sources):
        definition = gloss.split('; "')[0]
        if kind == "examples":
            yield from re.findall(r'"([^"]{12,})"', gloss)
        else:
            word = rng.choice(words)
            form = rng.choice(["{w}: {d}", "{d}", "{w} means {d}", "{all}: {d}"])
            yield form.format(w=word, d=definition, all=", ".join(words))


def restructured_text(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("_sources/**/*.rst.txt")):
        for block in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
            text = re.sub(r":[\w:]+:`~?!?([^`<]+)[^`]*`", r"\1", block).replace("``", "`").strip()
            if len(text) > 60 and not text.startswith(("..", "===", "***", "+--")):
                yield text


class _Paragraphs(html.parser.HTMLParser):
    """The text of paragraphs, list items and preformatted blocks."""

    blocks = frozenset({"p", "li", "pre", "dd"})

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.parts: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in self.blocks:
            self.flush()
            self.parts = []

    def handle_endtag(self, tag: str) -> None:
        if tag in self.blocks:
            self.flush()

    def handle_data(self, data: str) -> None:
        if self.parts is not None:
            self.parts.append(data)

    def flush(self) -> None:
        if self.parts is not None:
            text = "".join(self.parts).strip()
            if len(text) > 60:
                self.found.append(text)
        self.parts = None


def web_pages(package: Path, *folders: str) -> Iterator[str]:
    for path in sorted(package.rglob("*.html")):
        if path.is_file() and not path.is_symlink() and set(folders) & set(path.parts[-4:-1]):
            parser = _Paragraphs()
            parser.feed(path.read_text(encoding="utf-8", errors="replace"))
            yield from parser.found


def dictionary(path: Path) -> Iterator[str]:
    text = gzip.decompress(path.read_bytes()).decode("utf-8", errors="replace")
    for block in re.split(r"\n\s*\n|\n(?=\S)", text):
        yield re.sub(r"\s+", " ", block)


def python_files(sources: Path, *, docstrings: bool) -> Iterator[str]:
    for wheel in sorted(sources.glob("*.whl" if docstrings else "networkx*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in sorted(archive.namelist()):
                if not name.endswith(".py") or (docstrings and "/tests/" in name):
                    continue
                source = archive.read(name).decode("utf-8", errors="replace")
                try:
                    tree = ast.parse(source)
                except SyntaxError:
                    continue
                lines = source.splitlines()
                for node in ast.walk(tree):
                    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                        continue
                    text = (
                        ast.get_docstring(node)
                        if docstrings
                        else "\n".join(lines[node.lineno - 1 : min(node.end_lineno or 0, node.lineno + 30)])
                    )
                    if text and len(text) > 60:
                        yield from [text[:1_000]] if not docstrings else re.split(r"\n\s*\n", text)[:4]


def read_json_lines(path: Path) -> Iterator[dict[str, object]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def json_field(path: Path, field: str, wanted: Callable[[dict[str, object]], bool]) -> Iterator[str]:
    for row in read_json_lines(path):
        if wanted(row):
            yield str(row[field])


def is_mbpp(row: dict[str, object]) -> bool:
    return row["eval_name"] == "mbpp"


def is_crux(row: dict[str, object]) -> bool:
    return row["task"] == "crux"


def is_theoremqa(row: dict[str, object]) -> bool:
    return str(row["src"]).startswith("theoremQA")


def arena_hard(data: Path) -> Iterator[str]:
    for row in read_json_lines(data / "arena_hard_prompts/arena_hard_v0.1.jsonl.gz"):
        yield row["turns"][0]["content"]  # type: ignore[index]
    yield from json_field(data / "arena_hard_prompts/arena_hard_v2.0.jsonl.gz", "prompt", lambda row: True)


# --- Our own texts ---------------------------------------------------------------------------------------------

QUESTION_TEMPLATES = """What is {a}?|What are the causes of {a}?|Explain {a} to a ten-year-old.
Which of the following best describes {a}?|What is the difference between {a} and {b}?|Who discovered {a}?
How does {a} affect {b}?|Write a short story about {a} and {b}.|Write a poem about {a}.
Translate "{a}" into French.|Translate the following sentence into German: {d}.|Summarise: {d}
Give me five ideas for {a}.|List the advantages and disadvantages of {a}.|Is {a} a kind of {b}?
Write a Python function that checks whether a {a} is a {b}.|Write a SQL query that counts the {a} for each {b}.
Write a JavaScript function to sort a list of {a} by {b}.|How do I remove {a} from a {b}?
Write a regular expression that matches {a}.|Create a C++ class for a {a} with a method for {b}.
Draft an email to my manager about {a}.|Write a product description for a {a}.|Plan a three-day trip to see {a}.
Pretend to be a {a} and answer my questions about {b}.|I want you to act as a {a}.|Tell me a joke about {a}.
When was {a} invented, and by whom?|Where can I find {a}?|Why is {a} important for {b}?
A patient presents with {a}. What is the most likely diagnosis?|Under the law, when is {a} allowed?
According to the theory, {a} depends on {b}. Is this true or false?|Which statement about {a} is correct?
Compare and contrast {a} and {b} in a table.|What happens when {a} meets {b}?|Define {a} in one sentence.
Rewrite this more formally: {d}|Correct the grammar: {d}|Is the following statement positive or negative? {d}
Classify the sentence as {a} or {b}: {d}|Extract all names from the following text: {d}
What word means: {d}?|Give a synonym for {a}.|What is the opposite of {a}?|Use {a} in a sentence.
How many {a} are there in a {b}?|Estimate the cost of a {a}.|What is the chemical formula of {a}?
Prove that every {a} is a {b}.|Let X be a {a}. Show that X has a {b}.|Compute the energy of the {a}.
Describe the history of {a} in three paragraphs.|What role did {a} play in the history of {b}?
Explain step by step how to make a {a}.|My {a} does not work with my {b}. What should I do?
Design a database schema for {a} and {b}.|Which economist argued that {a} leads to {b}?
Suggest a name for a company that sells {a}.|Write a review of a {a}.|What should I wear to a {a}?
Choose the right answer. {a} is: A) {b} B) {c} C) {e} D) none of these""".replace("\n", "|").split("|")


def template_questions(sources: Path, seed: int) -> Iterator[str]:
    entries = [(words[0], gloss.split(";")[0]) for words, gloss in synsets(sources)]
    rng = random.Random(f"{seed} templates")
    for _ in range(2 * SOURCES["questions from templates"]):
        (a, d), (b, _), (c, _), (e, _) = rng.sample(entries, 4)
        yield rng.choice(QUESTION_TEMPLATES).format(a=a, b=b, c=c, d=d, e=e)


NAMES = [
    "Amara",
    "Bogdan",
    "Chloe",
    "Dinesh",
    "Elif",
    "Farid",
    "Greta",
    "Hana",
    "Ivan",
    "Jia",
    "Kofi",
    "Lena",
    "Mateo",
    "Nadia",
    "Oscar",
    "Priya",
    "Ravi",
    "Sofia",
]
THINGS = [
    "apples",
    "pencils",
    "books",
    "tickets",
    "bottles",
    "cakes",
    "marbles",
    "stamps",
    "shirts",
    "boxes",
    "chairs",
    "flowers",
    "eggs",
    "coins",
]
STORIES = [
    "{n} has {x} {t} and buys {y} more. How many {t} does {n} have now?",
    "{n} gives {x} of {y} {t} to {m}. How many {t} are left?",
    "Each box holds {x} {t}. How many boxes does {n} need for {y} {t}?",
    "{n} earns ${x} an hour and works {y} hours a week. How much does {n} earn in {z} weeks?",
    "A train travels at {x} miles per hour for {y} hours. How far does it go?",
    "{n} is {x} years older than {m}. In {y} years the sum of their ages is {z}. How old is {m}?",
    "The price of {x} {t} is ${y}. What do {z} {t} cost, with a discount of {x}%?",
    "{n} reads {x} pages on Monday, twice as many on Tuesday and {y} fewer on Wednesday. How many in all?",
    "What is {x} + {y} * {z}?",
    "Solve for x: {x}x + {y} = {z}",
    "Find the roots of $x^2 - {x}x + {y} = 0$.",
    "Evaluate the integral $\\int_0^{x} t^{y} \\, dt$.",
    "What is the derivative of f(x) = {x}x^3 - {y}x + {z}?",
    "What is the greatest common divisor of {x} and {y}?",
    "A {t} machine makes {x} {t} in {y} minutes. How many in {z} minutes?",
    "Convert {x} kilometres per hour to metres per second.",
    "How many ways are there to choose {x} {t} out of {y}?",
    "A rectangle is {x} cm long and {y} cm wide. What are its area and its perimeter?",
    "If {x}% of a number is {y}, what is the number?",
    "{n} invests ${y} at {x}% interest a year. How much is it worth after {z} years?",
]


def arithmetic(seed: int) -> Iterator[str]:
    rng = random.Random(f"{seed} arithmetic")
    for _ in range(2 * SOURCES["arithmetic from templates"]):
        n, m = rng.sample(NAMES, 2)
        x, y, z = (rng.choice([rng.randint(2, 20), rng.randint(2, 100), rng.randint(100, 5000)]) for _ in range(3))
        story = rng.choice(STORIES).format(n=n, m=m, t=rng.choice(THINGS), x=x, y=y, z=z)
        if rng.random() < 0.3:
            story += " " + rng.choice(STORIES).format(n=m, m=n, t=rng.choice(THINGS), x=y, y=z, z=x)
        yield story
