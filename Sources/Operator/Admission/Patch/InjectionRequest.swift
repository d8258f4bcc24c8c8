internal import Kubernetes

/// Why a pod or a container is left alone: one line without a stop, with the remedy.
struct LeftAlone: Error, Hashable {
    var reason: String

    init(_ reason: String) { self.reason = reason }
}

/// The requests that a pod's annotations state.
struct InjectionRequest {
    var mode: InjectionMode
    /// Nil: not said.
    var directory: ModelDirectory?
    /// Nil: not said.
    var containers: [String]?
    /// The containers get the store's keys.
    var bringsKeys = false

    /// A patch has some kilobytes for each.
    private static let mostContainers = 32

    /// - Throws: ``LeftAlone`` for a value that means nothing. To guess would put the model where nobody looks for it.
    init(annotations: JSONValue?) throws(LeftAlone) {
        func value(_ name: String) -> String? {
            annotations?[name]?.text.map {
                String($0.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
            }
        }
        mode = .stream
        if let text = value(PodLabels.mode) {
            guard let mode = InjectionMode(rawValue: text) else {
                throw LeftAlone("the annotation \(PodLabels.mode) is \(Wording.quoted(text)); use Stream or Wait")
            }
            self.mode = mode
        }
        if let text = value(PodLabels.directCredentials) {
            guard let isTrue = Bool(text) else {
                throw LeftAlone(
                    "the annotation \(PodLabels.directCredentials) is \(Wording.quoted(text)); use true or false")
            }
            bringsKeys = isTrue
        }
        if let text = value(PodLabels.modelDir) {
            do {
                directory = try ModelDirectory(text)
            } catch {
                throw LeftAlone("the annotation \(PodLabels.modelDir) (\(Wording.quoted(text))) \(error.text)")
            }
        }
        if let text = value(PodLabels.container) {
            var names: [String] = []
            for part in text.split(separator: ",") {
                guard names.count <= Self.mostContainers else { break }
                let name = part.filter { !$0.isWhitespace }
                if !name.isEmpty, !names.contains(name) { names.append(name) }
            }
            guard names.count <= Self.mostContainers else {
                throw LeftAlone(
                    "the annotation \(PodLabels.container) names more than \(Self.mostContainers) containers; name fewer"
                )
            }
            guard !names.isEmpty else {
                throw LeftAlone("the annotation \(PodLabels.container) names no container; name one or remove it")
            }
            containers = names
        }
    }
}
