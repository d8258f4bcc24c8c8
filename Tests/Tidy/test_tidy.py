"""What can be counted about the source: `hack/test tidy`.

Each test lists every place that breaks its rule, as FILE:LINE, so that one run shows all there is to do.
"""
import re
from pathlib import Path


ROOT = Path(__file__).resolve().parents[2]
CODE = sorted(p for p in (ROOT / "Sources").rglob("*") if p.suffix in {".swift", ".c", ".h"})
COLUMNS = 120
FUNCTION_LINES = 70
HEAD_LINES = 40

# Words of the glossary's last column that nothing else in the field is called by, each with the word to say.
WORDS = {
    r"wish(es|ed)?": "demand",
    r"hearsay": "unverified claim",
    r"bringers?": "owner, or holder",
    r"liars?": "a peer that sent wrong bytes",
    r"shun\w*|blame\w*|punish\w*": "ban, or penalty",
    r"crawls?|crawling": "starved",
    r"proven": "authorized, or verified",
    r"pieces?": "chunk, block, or a named size",
    r"rooms?": "capacity, space, or module",
}


def lines(path):
    return path.read_text().split("\n")


def place(path, number, text=""):
    return f"{path.relative_to(ROOT)}:{number}: {text.strip()[:100]}"


def report(places, rule):
    assert not places, f"{len(places)} places: {rule}\n" + "\n".join(places)


def comments(path):
    """(line number, text) of each comment line."""
    for number, line in enumerate(lines(path), 1):
        match = re.match(r"\s*(?:///?|\*|/\*)\s?(.*)", line) or re.search(r"\s//\s(.*)", line)
        if match:
            yield number, match[1]


def words_of(line):
    """The words of a line, those inside identifiers too: `shunnedUntil` has `shunned`."""
    return re.findall(r"[a-z]+", re.sub(r"([A-Z])", r" \1", line).lower())


def functions(path):
    """(first line, number of lines) of each function and initializer, by the indentation of its closing brace."""
    text = lines(path)
    head = re.compile(r"^(\s*)(?:@\w+(?:\([^)]*\))?\s+|(?:public|package|private|internal|fileprivate|static|mutating|"
                      r"nonisolated|override|final)\s+)*(?:func\b|init[?(<])")
    for start, line in enumerate(text):
        match = head.match(line)
        if not match:
            continue
        closing = match[1] + "}"
        for end in range(start, len(text)):
            if text[end].startswith(closing) and (end > start or line.rstrip().endswith("}")):
                yield start + 1, end - start + 1
                break
            # A requirement of a protocol has no body.
            if end > start and text[end] and not text[end].startswith(match[1]):
                break


def is_message(line):
    """The text of a message stays on one line, so that a search for it finds it."""
    return line.strip().startswith(('"', '+ "', '? "', ': "')) or len(re.sub(r'"(?:[^"\\]|\\.)*"?', '""', line)) <= COLUMNS


def in_long_literals(path):
    """Line numbers inside literals of several lines, whose breaks people would see."""
    inside, found = False, set()
    for number, line in enumerate(lines(path), 1):
        if inside:
            found.add(number)
        if line.count('"""') % 2:
            inside = not inside
    return found


def test_no_line_is_longer_than_120_columns():
    wrong = []
    for path in (p for p in CODE if p.suffix == ".swift"):
        literal = in_long_literals(path)
        wrong += [place(path, n, line) for n, line in enumerate(lines(path), 1)
                  if len(line) > COLUMNS and n not in literal and not is_message(line)]
    report(wrong, f"a line has at most {COLUMNS} columns beside the text of a message (swift format wraps code)")


def test_no_function_is_longer_than_70_lines():
    report([place(p, n, f"{count} lines") for p in CODE if p.suffix == ".swift"
            for n, count in functions(p) if count > FUNCTION_LINES], f"a function has at most {FUNCTION_LINES} lines")


def test_no_comment_begins_a_sentence_with_what_or_who():
    begins = re.compile(r"(?:^|[.:!?]\s+)(What|Who|Whose|Whoever|Whatever)\b")
    report([place(p, n, text) for p in CODE for n, text in comments(p) if begins.search(text)],
           "a sentence names its subject; it does not begin with What or Who")


def test_the_glossary_words_are_used():
    rules = [(re.compile(pattern), say) for pattern, say in WORDS.items()]
    found = []
    for path in CODE:
        for number, line in enumerate(lines(path), 1):
            for word in words_of(line):
                found += [place(path, number, f"{word}: say {say}: {line.strip()}")
                          for rule, say in rules if rule.fullmatch(word)]
    report(found, "one word for one thing")


def test_every_switch_takes_the_words_true_and_false():
    """Each list of switches has every @Flag of its program, as kubectl and Go's programs write them (--switch=true)."""
    flag = re.compile(r"@Flag\(.*?^\s*var (\w+)", re.DOTALL | re.MULTILINE)
    for folder, file in (("DataPlane/Command", "Switches.swift"), ("Operator/KubectlPlugin", "Switches.swift"),
                         ("Operator/Command", "Settings/Switches.swift")):
        program = ROOT / "Sources" / folder
        named = {re.sub(r"([A-Z])", lambda m: "-" + m[1].lower(), name)
                 for p in program.rglob("*.swift") for name in flag.findall(p.read_text())}
        listed = set(re.findall(r'"(?:--)?([a-z][a-z-]+)"', (program / file).read_text()))
        assert named and named <= listed, f"{folder}/{file} lacks {sorted(named - listed)}"


def test_random_tests_are_the_same_in_each_run():
    unseeded = re.compile(r"\brandom\(in:(?!.*\busing:)|SystemRandomNumberGenerator|\b(?:shuffled|randomElement|Bool\.random)\(\)")
    report([place(p, n, line.strip()) for p in sorted((ROOT / "Tests").rglob("*.swift")) for n, line in enumerate(lines(p), 1)
            if unseeded.search(line)], "a random test draws from SeededRandom, whose seeds MODELCACHE_TEST_SEED changes")


def test_each_clause_of_the_semantics_has_a_test_and_each_test_names_a_clause_that_exists():
    clauses = {int(n) for n in re.findall(r"^(\d+)\. ", (ROOT / "docs/semantics.md").read_text(), re.M)}
    named = {}
    for path in sorted((ROOT / "Tests").rglob("*")):
        if path.suffix not in {".py", ".swift"} or path == Path(__file__).resolve():
            continue
        for number, line in enumerate(lines(path), 1):
            for match in re.finditer(r"semantics (\d+)((?:, \d+)*)", line):
                for clause in re.findall(r"\d+", match[0]):
                    named.setdefault(int(clause), place(path, number))
    report([f"docs/semantics.md: clause {n}" for n in sorted(clauses - named.keys())], "a clause without a test")
    report([named[n] for n in sorted(named.keys() - clauses)], "a test of a clause that docs/semantics.md does not have")


def package_targets():
    """name -> (path, names of this package's targets it depends on), as Package.swift declares them."""
    text = (ROOT / "Package.swift").read_text()
    targets = {}
    for match in re.finditer(r"\.(?:target|executableTarget)\(\s*name: \"(\w+)\"(.*?)(?=\n        \.(?:target|executableTarget|"
                             r"testTarget)\(|\n        //|\n    \]\n)", text, re.S):
        body = re.sub(r"\.product\([^)]*\)", "", match[2])
        own = re.search(r"dependencies: \[(.*?)\]", body, re.S)
        path = re.search(r"path: \"([^\"]+)\"", body)
        targets[match[1]] = (path[1] if path else f"Sources/{match[1]}",
                             set(re.findall(r"\"(\w+)\"", own[1])) if own else set())
    return targets


def test_the_table_of_modules_says_what_package_swift_says():
    targets = package_targets()
    assert len(targets) > 15, "Package.swift is written in a way that this test does not read"
    table = {}
    for row in re.findall(r"^\| (`Sources/[^|]*) \|[^|]*\| ([^|]*) \|$", (ROOT / "docs/development.md").read_text(), re.M):
        paths = re.findall(r"`([^`]+)`", row[0])
        folder = Path(paths[0]).parent
        known = set(re.findall(r"\w+", row[1])) if row[1].strip() != "nothing" else set()
        for path in paths:
            table[path if path.startswith("Sources/") else str(folder / path)] = known
    wrong = []
    for name, (path, depends) in targets.items():
        if path.startswith("Tests/"):
            continue
        if path not in table:
            wrong.append(f"docs/development.md has no row for {path} ({name})")
        elif table[path] != depends:
            wrong.append(f"docs/development.md says that {path} may know {sorted(table[path])}; Package.swift: {sorted(depends)}")
    wrong += [f"docs/development.md has {path}, which is no target" for path in table
              if path not in {p for p, _ in targets.values()}]
    report(wrong, "the table of modules and Package.swift differ")


def heads():
    """target -> (its Swift files, those that begin with `// Target: `), of each Swift target below Sources/."""
    targets = {name: path for name, (path, _) in package_targets().items() if path.startswith("Sources/")}
    found = {}
    for name, path in targets.items():
        # A target may lie in the folder of another (CRD/StoreHost).
        inner = [other for other in targets.values() if other.startswith(f"{path}/")]
        files = [p for p in sorted((ROOT / path).rglob("*.swift"))
                 if not any(p.is_relative_to(ROOT / other) for other in inner)]
        if files:
            found[name] = (files, [p for p in files if lines(p)[0].startswith(f"// {name}: ")])
    return found


def head_of(path):
    text = lines(path)
    return text[:next(n for n, line in enumerate(text) if not line.startswith("//"))]


def test_each_swift_target_has_one_head():
    assert len(heads()) > 15, "Package.swift is written in a way that this test does not read"
    wrong = []
    for name, (files, begun) in heads().items():
        if len(begun) != 1:
            wrong.append(f"{name}: {len(begun)} of its files begin with `// {name}: ...`")
        wrong += [place(p, 1, f"{len(head_of(p))} lines") for p in begun if len(head_of(p)) > HEAD_LINES]
    report(wrong, f"one file of a target begins with its head, which has at most {HEAD_LINES} lines")


def test_the_types_that_a_head_names_are_in_its_target():
    declares = re.compile(r"\b(?:actor|class|enum|protocol|struct|typealias) (\w+)")
    wrong = []
    for files, begun in heads().values():
        declared = {name for p in files for line in lines(p) if not line.lstrip().startswith("//")
                    for name in declares.findall(line)}
        wrong += [place(p, number, f"`{name}`") for p in begun for number, line in enumerate(head_of(p), 1)
                  for name in re.findall(r"`([A-Z]\w*[a-z]\w*)`", line) if name not in declared]
    report(wrong, "a head names in backquotes only types that its own target declares")


def test_links_in_the_documents_lead_somewhere():
    wrong = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for number, line in enumerate(lines(path), 1):
            for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", line):
                if not re.match(r"[a-z]+:", target) and not (path.parent / target).exists():
                    wrong.append(place(path, number, target))
    report(wrong, "a link that leads nowhere")
