"""What the documents say and the sources know: releases, dependencies, metrics, links, commands."""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "charts").rglob("*.md"))]


def read(name: str) -> str:
    return (ROOT / name).read_text()


def script(name: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-B", ROOT / name, "--check"], text=True, capture_output=True, check=False)


def test_the_release_stands_in_one_place_and_everywhere_else_is_written_from_it():
    checked = script("hack/lib/release_version.py")
    assert checked.returncode == 0, f"run hack/generate\n{checked.stderr}"


def test_the_page_in_the_programs_is_the_file_and_names_no_other_address():
    made = script("hack/lib/page.py")
    assert made.returncode == 0, f"run hack/generate\n{made.stderr}"
    page = read("Sources/DataPlane/StatusPage/page.html")
    # The name of a namespace of XML is no address that is asked.
    assert set(re.findall(r"\w+://[^\s\"'`$]+", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.findall(r"\b(?:src|href)=\"(?!data:,)|@import|url\(|innerHTML|insertAdjacentHTML|outerHTML|document\.write|\bon\w+=", page)
    # As the command documents it.
    told = read("docs/ui.md")
    views = read("Sources/DataPlane/StatusPage/PageData.swift")
    members = set(re.findall(r"^        public var (\w+):", views, re.M)) | set(re.findall(r"^    public (?:private\(set\) )?var (\w+)\b", views, re.M))
    assert len(members) > 40 and not [name for name in members if f"`{name}`" not in told]


def rows(text: str, heading: str) -> list[list[str]]:
    """The table's rows below a heading, without its head."""
    section = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", text, re.M | re.S)[1]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table[2:]]


def test_each_dependency_has_a_row_with_its_version_and_licence():
    page = read("docs/dependencies.md")
    package = dict(re.findall(r'url: "https://[^"]*/([^/"]+)", exact: "([^"]+)"', read("Package.swift")))
    assert len(package) == read("Package.swift").count(".package(url:"), "each package has an exact version"
    told = {re.match(r"\[([^]]+)\]", name)[1]: version for name, version, *_ in rows(page, "In the programs")}
    assert told == package
    images = dict(match.split(":") for path in sorted((ROOT / "config/images").glob("*.Containerfile"))
                  for match in re.findall(r"^ARG \w+_IMAGE=(\S+)$", path.read_text(), re.M))
    assert {name: tag for name, tag, *_ in rows(page, "In the images")} == images
    pinned = {}
    for path in [*(ROOT / "Tests").rglob("requirements.txt"), *(ROOT / "hack").rglob("requirements.txt")]:
        for line in path.read_text().split():
            name, _, version = line.partition("==")
            assert version, f"{path}: {line} has no exact version"
            pinned[name.split("[")[0]] = version
    assert {name: version for name, version, *_ in rows(page, "In tests and tools alone")} == pinned
    assert all(row[2] for heading in ("In the programs", "In the images", "In tests and tools alone") for row in rows(page, heading))


def test_links_between_documents_and_to_their_headings_lead_somewhere():
    def anchors(path: Path) -> set[str]:
        headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S), re.M)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    wrong = []
    for path in DOCUMENTS:
        for number, line in enumerate(path.read_text().split("\n"), 1):
            for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", line):
                if re.match(r"[a-z]+:", target):
                    continue
                there = path.parent / target if target else path
                if not there.exists():
                    wrong.append(f"{path.relative_to(ROOT)}:{number}: {target}")
                elif anchor and there.suffix == ".md" and anchor not in anchors(there):
                    wrong.append(f"{path.relative_to(ROOT)}:{number}: {target}#{anchor}")
    assert not wrong, "links that lead nowhere\n" + "\n".join(wrong)


def test_each_metric_has_a_row_and_each_row_a_metric():
    sources = [path.read_text() for path in sorted((ROOT / "Sources").rglob("*.swift"))]
    made = r'\b(?:gauge|counter|histogram|family|perModel)\(\s*"([a-z_]+)"'
    # A comment's example is no metric.
    known = {name for text in sources for name in re.findall(made, re.sub(r"^\s*///.*$", "", text, flags=re.M))}
    told = {name for heading in ("Agents", "Operator") for name, *_ in rows(read("docs/metrics.md"), heading)}
    assert told == known, f"only in docs/metrics.md: {sorted(told - known)}; only in the sources: {sorted(known - told)}"


def test_the_charts_readme_is_made_of_its_values_and_each_has_a_meaning():
    made = script("hack/lib/chart/readme.py")
    assert made.returncode == 0, f"run hack/generate\n{made.stderr}"
    assert not [name for name, _, meaning in rows(read("charts/modelcache/README.md"), "Values") if not meaning]


def sources() -> str:
    return "\n".join(path.read_text() for path in sorted((ROOT / "Sources").rglob("*.swift")))


def test_conditions_reasons_and_events_are_those_of_the_sources():
    text, page = read("Sources/CRD/Types/Condition.swift"), read("docs/events.md")

    def cases(name: str) -> set[str]:
        return set(re.findall(r'case \w+ = "(\w+)"', re.search(rf"enum {name}\b.*?^}}", text, re.M | re.S)[0]))
    assert {row[0] for row in rows(page, "Conditions")} == cases("ConditionType")
    assert {row[0] for row in rows(page, "Reasons")} == cases("ConditionReason")
    for _, first, _ in rows(page, "Reasons"):
        assert first.strip("`") in cases("ConditionType")
    phases = re.search(r"enum Phase\b.*?^}", read("Sources/CRD/Types/ModelCacheStatus.swift"), re.M | re.S)[0]
    assert [row[0] for row in rows(page, "Phases")] == re.findall(r'case \w+ = "(\w+)"', phases)
    every = sources()
    assert not [row[0] for row in rows(page, "Other Events") if f'"{row[0]}"' not in every]


def test_messages_and_codes_of_the_error_page_are_those_of_the_sources():
    page, every = read("docs/errors.md"), sources()
    assert not [row[0] for row in rows(page, "Messages") if row[0].strip("`") not in every]
    codes = {code for row in rows(page, "Refusals over HTTP") for code in row[1].replace("`", "").split(", ")}
    assert codes and not [code for code in codes if f'"{code}"' not in every and f"case {code[0].lower() + code[1:]}" not in every]


def test_the_page_of_results_is_made_of_their_record():
    made = subprocess.run([sys.executable, "-B", ROOT / "hack/bench.d/results.py", "render", "--check"], text=True, capture_output=True, check=False)
    assert made.returncode == 0, f"run python3 hack/bench.d/results.py render\n{made.stderr}"


def test_the_reference_of_fields_is_made_of_the_definition():
    made = script("hack/lib/crd/reference.py")
    assert made.returncode == 0, f"run hack/generate\n{made.stderr}"
    told = {row[0] for part in ("spec", "status") for row in rows(read("docs/api.md"), part)}
    assert {"source.uri", "warmup.podTemplate.tolerations[].key", "conditions[].reason", "progress.bytesCached"} <= told


def test_values_that_documents_set_are_values_of_the_chart():
    known = {row[0] for row in rows(read("charts/modelcache/README.md"), "Values")}
    told, wrong = 0, []
    for path in DOCUMENTS:
        for number, line in enumerate(path.read_text().split("\n"), 1):
            # The first word of each assignment; a comma that belongs to a value has a backslash before it.
            for text in re.findall(r"--set(?:-string|-json)? (\S+=\S*)", line):
                for name in re.findall(r"(?:^|(?<!\\),)([A-Za-z][\w.\[\]]*)=", text):
                    told += 1
                    parts = re.sub(r"\[\d+\]", "", name).split(".")
                    # A map's own keys are the user's.
                    if not any(".".join(parts[:count]) in known for count in range(len(parts), 0, -1)):
                        wrong.append(f"{path.relative_to(ROOT)}:{number}: {name}")
    assert not wrong, "\n".join(wrong)
    assert told > 15


def test_files_that_the_development_page_names_are_there():
    page = read("docs/development.md")
    section = re.search(r"^## To change \.\.\.$(.*?)^## ", page, re.M | re.S)[1]
    every = {path.name for path in (ROOT / "Sources").rglob("*.swift")} | {path.name for path in (ROOT / "Tests").rglob("*.py")}
    named = re.findall(r"`([\w./]+)`", section)
    assert len(named) > 30
    assert not [name for name in named if ("/" in name or name.endswith((".swift", ".py"))) and name not in every and not (ROOT / name).exists()]


def test_the_page_on_reliability_names_each_clause_and_tests_that_exist():
    page = read("docs/reliability.md")
    clauses = re.findall(r"^(\d+)\. ", read("docs/semantics.md"), re.M)
    promises = rows(page, "Promises")
    assert [row[0] for row in promises] == clauses
    tests = {path.name: path.read_text() for folder in ("System", "Preload", "Cluster", "ControlPlane") for path in (ROOT / "Tests" / folder).rglob("*.py")}
    assert not [name for row in promises for name in re.findall(r"\w+\.py", row[2]) if name not in tests]
    every = "\n".join([*tests.values(), *(path.read_text() for path in (ROOT / "Tests").rglob("*.swift"))])
    found = [row[2].strip("`") for row in rows(page, "Faults found")]
    assert found and not [name for name in found if f"def {name}(" not in every and f"`{name}`" not in every and f'"{name}"' not in every]
    worlds = (ROOT / "Tests/System/support/sequence_worlds.py").read_text()
    told = [name for row in rows(page, "Random sequences of calls") for name in re.findall(r"\w+", row[0].replace("`", ""))]
    assert sorted(told) == sorted(re.findall(r'^    "(\w+)": Setting\(', worlds, re.M))


def parts(path: Path) -> dict[str, list]:
    """What a translation has in common with its original: commands, headings' levels, tables' shapes, links, code words."""
    text = path.read_text()
    # A comment of a command is translated.
    blocks = [(kind, re.sub(r"(?:^|\s+)#(?![\w!]).*$", "", body, flags=re.M)) for kind, body in re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S)]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    links = [re.sub(r"#.*", "", target).replace(".zh-CN.md", ".md") for target in re.findall(r"\]\(([^)\s]+)\)", prose)]
    return {
        "blocks": blocks, "headings": re.findall(r"^#+(?= )", prose, re.M),
        "tables": [line.count("|") for line in prose.splitlines() if line.startswith("|")],
        "links": sorted(target for target in links if target), "code": sorted(set(re.findall(r"`[^`]+`", prose)))}


def test_a_translation_has_the_commands_tables_and_links_of_its_original():
    translations = sorted(path for folder in (ROOT, ROOT / "docs") for path in folder.glob("*.zh-CN.md"))
    assert len(translations) >= 4
    wrong = []
    for path in translations:
        original = path.with_name(path.name.replace(".zh-CN", ""))
        here, there = parts(path), parts(original)
        # Each names the other.
        for one in (here, there):
            one["links"] = [target for target in one["links"] if target != original.name]
        for what, has in here.items():
            if has != there[what]:
                differ = [one for one in has if one not in there[what]] + [one for one in there[what] if one not in has]
                wrong.append(f"{path.relative_to(ROOT)}: other {what} than {original.name}: {differ[:4] or 'in another order or number'}")
    assert not wrong, "\n".join(wrong)


def test_every_guide_has_a_translation():
    guides = [path for path in (ROOT / "docs").glob("get-started-*.md") if ".zh-CN" not in path.name]
    assert len(guides) >= 3
    assert not [path.name for path in guides if not path.with_suffix(".zh-CN.md").exists()]


def test_the_first_page_leads_to_every_page():
    """From README.md, following links between documents."""
    def linked(path: Path) -> set[Path]:
        return {(path.parent / target).resolve() for target in re.findall(r"\]\(([^)#\s:]+\.md)", path.read_text())}

    seen, waiting = set(), {ROOT / "README.md"}
    while waiting:
        page = waiting.pop()
        seen.add(page)
        waiting |= {one for one in linked(page) if one.is_relative_to(ROOT)} - seen
    assert not [str(path.relative_to(ROOT)) for path in DOCUMENTS if path not in seen]
    # The map names each page of docs/ itself; translations and runbooks hang on theirs.
    first = linked(ROOT / "README.md")
    assert not [path.name for path in (ROOT / "docs").glob("*.md") if path not in first and ".zh-CN" not in path.name]


def test_commands_of_helm_and_kubectl_have_the_flags_without_which_they_do_something_else():
    """helm: the release's namespace, and the values of before. kubectl logs of a selector: all lines. rollout status: one object."""
    wrong, told = [], 0
    for path in DOCUMENTS:
        text = re.sub(r"\\\n\s*", " ", path.read_text())
        commands = re.findall(r"^(?:helm|kubectl) .*$", "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)), re.M)
        commands += [span for span in re.findall(r"`((?:helm|kubectl) [^`\n]*)`", text) if "modelcache" in span]
        for command in commands:
            told += 1
            words = command.split()
            if words[0] == "helm" and len(words) > 2 and not {"--namespace", "-n"} & set(words):
                wrong.append(f"{path.relative_to(ROOT)}: {command}: no --namespace")
            if words[:2] == ["helm", "upgrade"] and not {"--reuse-values", "--reset-then-reuse-values"} & set(words):
                wrong.append(f"{path.relative_to(ROOT)}: {command}: forgets values")
            if words[:2] == ["kubectl", "logs"] and "-l" in words and "--tail" not in command:
                wrong.append(f"{path.relative_to(ROOT)}: {command}: ten lines of each pod")
            if "rollout status" in command and len([word for word in words if re.match(r"(deployment|daemonset)/", word)]) != 1:
                wrong.append(f"{path.relative_to(ROOT)}: {command}: one object")
    assert not wrong, "\n".join(wrong)
    assert told > 100
