internal import Kubernetes

/// The ModelCaches that a pod names: that of its label first, then those of the annotation ``PodLabels/models``.
struct WantedModels {
    struct Entry: Hashable {
        var name: String
        /// Nil: not said.
        var directory: ModelDirectory?
    }

    private(set) var entries: [Entry]

    /// The preload library's table has so many.
    private static let most = 16

    var names: [String] { entries.map(\.name) }

    /// `name` or `name=/directory`, separated by commas. The label's own model may be among them, to give its
    /// directory.
    ///
    /// - Throws: ``LeftAlone`` for an entry that means nothing.
    init(label: String, annotation: String?) throws(LeftAlone) {
        guard !label.isEmpty else {
            throw LeftAlone("the label \(PodLabels.inject) is empty; give it the name of a ModelCache")
        }
        entries = [Entry(name: label)]
        var named: Set<String> = []
        for part in (annotation ?? "").split(separator: ",", maxSplits: 2 * Self.most) {
            let halves = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = Self.trimmed(halves[0])
            guard !name.isEmpty else {
                if halves.count == 1 { continue }
                throw Self.fault(part, "has no name before the =")
            }
            guard named.insert(name).inserted else { throw Self.fault(part, "names a ModelCache twice") }
            var entry = Entry(name: name)
            if halves.count == 2 {
                do {
                    entry.directory = try ModelDirectory(Self.trimmed(halves[1]))
                } catch {
                    throw Self.fault(part, "has a directory that \(error.text)")
                }
            }
            if name == label { entries[0] = entry } else { entries.append(entry) }
        }
        guard entries.count <= Self.most else {
            throw LeftAlone(
                "the annotation \(PodLabels.models) and the label name more than \(Self.most) ModelCaches; name fewer")
        }
    }

    private static func trimmed(_ text: Substring) -> String {
        String(text.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    }

    private static func fault(_ part: Substring, _ problem: String) -> LeftAlone {
        LeftAlone(
            "the annotation \(PodLabels.models): \(Wording.quoted(trimmed(part))) \(problem); write NAME or NAME=/directory"
        )
    }
}

/// One ModelCache of a pod, and where its containers are to find it.
struct InjectedModel {
    var target: InjectionTarget
    /// Nil: not said.
    var directory: ModelDirectory?
}
