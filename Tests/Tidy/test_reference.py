"""The reference tables have all that the sources have, and no more: flags, variables, verbs, exit codes, refusals, Events, alerts, metrics' types."""
import re

import pytest
from test_documents import ROOT, read, rows, sources

COMMANDS = "docs/commands.md"


def declared(path: str) -> list[tuple[str, str]]:
    """(flag, its help) of each option and switch of an ArgumentParser type, hidden ones left out."""
    found = []
    for body, name in re.findall(r"@(?:Option|Flag)(?!Group)(.*?)\n?\s*var (\w+)", read(path), re.S):
        if ".hidden" in body:
            continue
        custom = re.search(r'\.customLong\("([a-z-]+)"\)', body)
        flag = custom[1] if custom else re.sub(r"[A-Z]", lambda match: "-" + match[0].lower(), name)
        found.append((f"--{flag}", "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', body))))
    return found


def flags_of(cell: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]+", cell))


def variables_of(cell: str) -> set[str]:
    return set(re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z_]*[A-Z]\b", cell))


# -- configuration.md; the operator's flags are compared with its --help in Tests/ControlPlane/test_operator_process.py --

def test_each_flag_of_the_agent_has_a_row_with_the_variable_that_its_help_names():
    told = {flag: variables_of(row[0]) for row in rows(read("docs/configuration.md"), "The agent") if len(row) == 4 for flag in flags_of(row[1])}
    flags = declared("Sources/DataPlane/Command/Verbs/AgentVerb.swift") + [
        one for one in declared("Sources/DataPlane/Command/SourceOptions.swift") if one[0] in {"--root", "--socket"}]
    assert len(flags) > 15
    assert set(told) == {flag for flag, _ in flags}
    for flag, help_text in flags:
        named = {name for name in variables_of(help_text) if name.startswith("MODELCACHE_")}
        assert named <= told[flag], f"{flag}: {told[flag]}, --help says {named}"


def test_each_variable_that_a_program_reads_is_told_and_each_that_is_told_is_read():
    # Beginnings of names, and words of the wire that nobody sets.
    inner = {"MODELCACHE_MODEL", "MODELCACHE_PEER", "MODELCACHE_TOKEN", "MODELCACHE_ROLE_TOKEN", "MODELCACHE_KEY_ORIGIN"}
    known = {name for name in re.findall(r'"((?:MODELCACHE|OSS|OSSUTIL|AWS|ALIBABA_CLOUD)_[A-Z_]*[A-Z])[="]', sources())} - inner
    known |= {"MODELCACHE_PEER_CERTIFICATE", "MODELCACHE_PEER_KEY", "MODELCACHE_PEER_AUTHORITY"}
    operator = {"MODELCACHE_" + flag[2:].upper().replace("-", "_") for flag, _ in declared("Sources/Operator/Command/OperatorCommand.swift")}
    text = "".join(read(f"docs/{name}.md") for name in ("configuration", "stores", "several-models"))
    told = {name for name in variables_of(text) if re.match(r"(?:MODELCACHE|OSS|OSSUTIL|AWS|ALIBABA_CLOUD)_", name)}
    assert len(known) > 60
    assert not known - told, f"no page has {sorted(known - told)}"
    # Of the SDKs, and said to be passed over.
    passed_over = {"ALIBABA_CLOUD_CREDENTIALS_URI"}
    every = sources()
    wrong = {name for name in told - known - operator - passed_over if f'"{name}' not in every}
    assert not wrong, f"no program reads {sorted(wrong)}"


# -- commands.md --

DATA, PLUGIN, OPERATOR = "Sources/DataPlane/Command", "Sources/Operator/KubectlPlugin", "Sources/Operator/Command/Verbs"
SHARED = {
    "SourceOptions": f"{DATA}/SourceOptions.swift", "StoreOptions": f"{DATA}/SourceOptions.swift", "AgentLocationOptions": f"{DATA}/SourceOptions.swift",
    "RepeatedView": f"{DATA}/Terminal/RepeatedView.swift", "ConnectionOptions": f"{PLUGIN}/ConnectionOptions.swift",
}


def verbs(folder: str, pattern: str) -> dict[str, set[str]]:
    """Verb -> its own flags, of each verb that --help shows."""
    found = {}
    for path in sorted((ROOT / folder).glob(pattern)):
        for part in re.split(r"\n(?=struct )", path.read_text()):
            name = re.search(r'commandName: "([a-z-]+)"', part)
            if name and "shouldDisplay: false" not in part:
                found[name[1]] = {flag for flag, _ in declared(str(path.relative_to(ROOT)))}
    return found


@pytest.mark.parametrize("heading, folder, pattern", [
    ("modelcache", f"{DATA}/Verbs", "*Verb.swift"), ("kubectl modelcache", PLUGIN, "*Command.swift"), ("modelcache-operator", OPERATOR, "*Verb.swift")])
def test_each_verb_has_a_row_with_all_its_flags(heading, folder, pattern):
    told = {row[0].split()[0]: flags_of(row[1]) for row in rows(read(COMMANDS), heading)}
    known = verbs(folder, pattern)
    assert len(known) >= 2
    # The agent's flags are the settings of configuration.md.
    known = {verb: flags for verb, flags in known.items() if verb != "agent"}
    told.pop("agent", None)
    assert told == known


def test_each_flag_that_verbs_share_is_told():
    page = read(COMMANDS)
    told = {row[0]: flags_of(row[1]) for row in rows(page, "Flags that verbs share")}
    assert set(told) == {"source", "store", "place", "view", "connection"}
    source = {flag for flag, _ in declared(SHARED["SourceOptions"])}
    assert told["source"] | told["store"] | told["place"] == source
    assert told["view"] == {flag for flag, _ in declared(SHARED["RepeatedView"])}
    assert told["connection"] == {flag for flag, _ in declared(SHARED["ConnectionOptions"])}


# -- errors.md --

def test_the_exit_codes_are_those_of_the_sources():
    told = {code for row in rows(read("docs/errors.md"), "Exit codes") for code in map(int, re.findall(r"\d+", row[0]))}
    command = read(f"{DATA}/SourceOptions.swift")
    known = {int(code) for code in re.findall(r"(?:case [^\n]*|default): *(\d+)$", command, re.M)}
    known |= {int(code) for code in re.findall(r"static let \w+: Int32 = (\d+)", read("Sources/DataPlane/Preload/Report.swift"))}
    known |= {int(code) for code in re.findall(r"code: (\d+)\)", read("Sources/Operator/Command/Settings/OperatorFailure.swift"))}
    known |= {int(code) for code in re.findall(r"\b(?:exit|ExitCode)\((\d+)\)", sources())}
    if "_exit(128 + $0)" in read(f"{DATA}/Verbs/FirstProcess.swift"):
        known |= {128 + 2, 128 + 15}
    assert {69, 74, 77, 78, 127} <= known
    assert told == known | {0}


def test_each_refusal_over_http_has_a_row_with_its_status():
    text = read("Sources/DataPlane/AgentAPI/AgentError.swift")
    requests = text[text.index("// The request."):text.index("// The fill;")]
    known = {name: code for name, code in re.findall(r'case (\w+) = "(\w+)"', requests)}
    statuses = {}
    for cases, status in re.findall(r"case ((?:\.\w+,?\s*)+):\s*(\d{3})", text):
        statuses |= {known[name]: status for name in re.findall(r"\.(\w+)", cases) if name in known}
    assert len(statuses) == len(known) > 10
    told = {code: row[0] for row in rows(read("docs/errors.md"), "Refusals over HTTP") for code in re.findall(r"\w+", row[1].replace("`", ""))}
    assert told == statuses


# -- events.md, metrics.md --

def test_each_event_that_is_not_a_conditions_has_a_row():
    folder = ROOT / "Sources/Operator"
    every = "\n".join(path.read_text() for path in sorted(folder.rglob("*.swift")))
    known = set(re.findall(r'reason: "([A-Z]\w+)", *(?:message|"|$)', every, re.M))
    # Given as the first of a pair, or by a property.
    known |= set(re.findall(r'say\((?:true|false), "(\w+)"', every)) | set(re.findall(r'(?:return \(|^ +)"([A-Z][a-z]+[A-Z]\w+)",$', every, re.M))
    known |= set(re.findall(r'return \("([A-Z]\w+)", "', every)) | {name for pair in re.findall(r'var reason: String \{[^}]*"(\w+)" : "(\w+)"', every) for name in pair}
    # Reasons of Jobs that do not start stand in the message of WarmupFailed.
    known -= {"PodNotCreated", "PodNotStarted"}
    page = read("docs/events.md")
    conditions = {row[0] for row in rows(page, "Reasons")}
    assert {row[0] for row in rows(page, "Other Events")} == known - conditions


def test_each_alert_has_a_row_with_its_severity_and_its_runbook():
    text = read("charts/modelcache/files/alerts.yaml")
    known = {name: (severity, runbook) for name, severity, runbook in re.findall(
        r"- alert: (\w+)\n.*?severity: (\w+)\n.*?runbook_url: docs/(runbooks/[a-z-]+\.md)", text, re.S)}
    assert len(known) == text.count("- alert: ")
    told = {}
    for name, severity, _ in rows(read("docs/metrics.md"), "Alerts"):
        link = re.fullmatch(r"\[(\w+)\]\((.*)\)", name)
        told[link[1]] = (severity, link[2])
    assert told == known
    for name, (_, runbook) in known.items():
        page = read(f"docs/{runbook}")
        assert page.startswith(f"# {name}\n")
        assert re.findall(r"^## (.*)$", page, re.M) == ["What it does", "Impact", "Find the cause", "Mend it"], runbook


def test_each_metric_has_its_type_and_its_labels():
    text = re.sub(r"^\s*///.*$", "", sources(), flags=re.M)
    types = {name: kind for kind, name in re.findall(r'\b(gauge|counter|histogram)\(\s*"([a-z_]+)"', text)}
    types |= {name: kind for name, kind in re.findall(r'\bfamily\(\s*"([a-z_]+)",\s*"(\w+)"', text)}
    labels = {}
    for name, rest in re.findall(r'\b(?:gauge|counter|histogram)\(\s*"([a-z_]+)",((?:[^()"]|"(?:[^"\\]|\\.)*")*)\)', text):
        listed = re.search(r"labels: \[([^]]*)\]", rest)
        if listed:
            labels[name] = set(re.findall(r'"(\w+)"', listed[1]))
    assert len(types) > 60 and len(labels) > 12
    # The agent's has one label more.
    del labels["modelcache_build_info"]
    wrong = []
    for heading in ("Agents", "Operator"):
        for name, kind, told, _ in rows(read("docs/metrics.md"), heading):
            if types[name] != kind:
                wrong.append(f"{name} is a {types[name]}")
            if name in labels and set(re.findall(r"\w+", told)) != labels[name]:
                wrong.append(f"{name} has the labels {sorted(labels[name])}")
    assert not wrong, "\n".join(wrong)


# -- starts.md --

def test_phases_parts_and_causes_of_a_start_are_those_of_the_sources():
    def cases(path: str, name: str) -> list[str]:
        body = re.search(rf"enum {name}\b.*?\n *}}", read(path), re.S)[0]
        return re.findall(r"case (\w+)$", body, re.M)

    tables = re.findall(r"^\| (phase|part|cause)\b[^\n]*\n\|[^\n]*\n((?:\|[^\n]*\n)+)", read("docs/starts.md"), re.M)
    told = {name: re.findall(r"^\| ((?:`\w+`(?:, )?)+)", body, re.M) for name, body in tables}
    words = {name: [word for cell in cells for word in re.findall(r"\w+", cell)] for name, cells in told.items()}
    assert words["phase"] == cases("Sources/CRD/Describe/PodStart.swift", "Step")
    assert words["part"] == cases("Sources/CRD/Describe/PodStart+Reading.swift", "Part")
    assert words["cause"] == ["keys", "opening", *cases("Sources/DataPlane/Transfer/DemandWaits.swift", "DemandWait")]
