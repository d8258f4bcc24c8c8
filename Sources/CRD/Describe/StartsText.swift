/// The text of `kubectl modelcache starts`.
public enum StartsText {
    /// One line a pod. A phase that the cluster does not tell is `-`; a `…` stands behind the one that goes on.
    public static func table(_ starts: [PodStart]) -> [String] {
        let header = [
            "POD", "NODE", "TOTAL", "SCHEDULING", "VOLUMES+SANDBOX", "INIT", "CONTAINERS", "LOADING", "RESTARTS",
        ]
        let rows = starts.map { start in
            [Texts.plain(start.pod), Texts.plain(start.node ?? "-"), duration(start.seconds, start.underWay != nil)]
                + PodStart.Step.allCases.map { step in
                    start.phases.first { $0.step == step }.map { duration($0.seconds, start.underWay == step) } ?? "-"
                } + ["\(start.restarts)"]
        }
        return Texts.table([header] + rows)
    }

    /// One line a pod of whose start the agent has a record: the parts of the phase in which the pod loads its model,
    /// where its bytes came from, and the longest waits.
    public static func readings(_ starts: [PodStart]) -> [String] {
        let header = [
            "POD", "PHASE", "PROGRAM", "OPENING", "FIRST BYTE", "READING", "FINISHING", "CACHE", "COPIED", "PEERS",
            "STORE", "WAITED FOR",
        ]
        let rows = starts.compactMap { start in
            start.reading.map { reading -> [String] in
                let last = start.underWay == reading.step ? reading.parts.last?.part : nil
                let parts = PodStart.Reading.Part.allCases.map { part in
                    reading.parts.first { $0.part == part }
                        .map { seconds($0.milliseconds) + (last == part ? "…" : "") } ?? "-"
                }
                let bytes = [reading.cacheBytes, reading.copiedBytes, reading.peerBytes, reading.storeBytes]
                    .map(Texts.bytes)
                return [Texts.plain(start.pod), reading.step == .initContainers ? "INIT" : "LOADING"] + parts + bytes
                    + [waits(reading.waitMilliseconds)]
            }
        }
        return rows.isEmpty ? [] : Texts.table([header] + rows)
    }

    /// One sentence about a pod that is ready, for its Event: the phases, the parts of the one in which it loads its
    /// model, where the bytes came from, and the longest waits.
    public static func sentence(_ start: PodStart) -> String {
        let phases = start.phases.map { phase in
            let cut = start.reading.flatMap { $0.step == phase.step ? " (\(parts($0)))" : nil } ?? ""
            return "\(words(phase.step)) \(Texts.duration(phase.seconds))\(cut)"
        }
        return "Ready after \(Texts.duration(start.seconds)): \(phases.joined(separator: ", "))."
    }

    private static func parts(_ reading: PodStart.Reading) -> String {
        let parts = reading.parts.map { "\(words($0.part)) \(seconds($0.milliseconds))" }
        let sources = sources(reading)
        let waited = waits(reading.waitMilliseconds)
        return [parts, sources, waited == "-" ? [] : ["waited for \(waited)"]].filter { !$0.isEmpty }
            .map { $0.joined(separator: ", ") }.joined(separator: "; ")
    }

    /// Where its bytes came from, such as `53 MB from the cache`.
    public static func sources(_ reading: PodStart.Reading) -> [String] {
        [
            (reading.cacheBytes, "from the cache"), (reading.copiedBytes, "copied"), (reading.peerBytes, "from peers"),
            (reading.storeBytes, "from the store"),
        ].filter { $0.0 > 0 }.map { "\(Texts.bytes($0.0)) \($0.1)" }
    }

    public static func words(_ step: PodStart.Step) -> String {
        switch step {
        case .scheduling: "scheduling"
        case .volumesAndSandbox: "volumes and sandbox"
        case .initContainers: "init containers"
        case .containers: "containers"
        case .loading: "loading"
        }
    }

    public static func words(_ part: PodStart.Reading.Part) -> String {
        switch part {
        case .program: "program"
        case .opening: "opening"
        case .firstByte: "first byte"
        case .reading: "reading"
        case .finishing: "finishing"
        }
    }

    /// The longest first; `-` when there are none.
    public static func waits(_ milliseconds: [String: Int64]) -> String {
        let waits = milliseconds.filter { $0.value > 0 }.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        return waits.isEmpty
            ? "-" : waits.map { "\(Texts.plain($0.key)) \(seconds($0.value))" }.joined(separator: ", ")
    }

    /// `0.4s`, `12s`, `3m20s`.
    public static func seconds(_ milliseconds: Int64) -> String {
        guard milliseconds < 9950 else { return Texts.duration((milliseconds + 500) / 1000) }
        let tenths = (max(0, milliseconds) + 50) / 100
        return "\(tenths / 10).\(tenths % 10)s"
    }

    private static func duration(_ seconds: Int64, _ goesOn: Bool) -> String {
        Texts.duration(seconds) + (goesOn ? "…" : "")
    }
}
