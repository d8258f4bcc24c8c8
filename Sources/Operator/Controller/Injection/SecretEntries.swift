internal import CRD
internal import Kubernetes

/// Which entries of Secrets hold the store's keys, asked for at most once a minute each.
///
/// A pod waits for the answer, so there always is one within ``patience``: what was known before, or the usual names.
actor SecretEntries {
    private static let lifetime: Duration = .seconds(60)
    /// An admission webhook has three seconds in all.
    private static let patience: Duration = .seconds(1)
    /// More Secrets than that and the oldest answers are forgotten.
    private static let mostKnown = 4096

    private let find: @Sendable (ObjectKey) async throws -> Secret?
    private var known: [ObjectKey: (keys: SecretView.Keys, at: WallTime)] = [:]
    private var questions: [ObjectKey: Task<SecretView.Keys?, Never>] = [:]

    init(find: @escaping @Sendable (ObjectKey) async throws -> Secret?) {
        self.find = find
    }

    /// Never fails: the names are references, and a pod whose Secret is missing starts without keys.
    func view(_ key: ObjectKey, now: WallTime) async -> SecretView {
        let before = known[key]
        if let before, now >= before.at, now - before.at < Self.lifetime { return SecretView(key, before.keys) }
        // One question for all that wait.
        let question = questions[key] ?? Task { [find] in await Self.ask(key, find) }
        questions[key] = question
        let answer = await question.value
        questions[key] = nil
        guard let keys = answer ?? before?.keys else { return SecretView(key, .usual) }
        if known.count >= Self.mostKnown { known = [:] }
        known[key] = (keys, now)
        return SecretView(key, keys)
    }

    private static func ask(
        _ key: ObjectKey, _ find: @escaping @Sendable (ObjectKey) async throws -> Secret?
    ) async -> SecretView.Keys? {
        await withTaskGroup(of: SecretView.Keys?.self) { group in
            group.addTask {
                guard let secret = (try? await find(key)) ?? nil else { return nil }
                return (try? SecretView.read(secret))?.view.keys
            }
            group.addTask {
                try? await Task.sleep(for: patience)
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
    }
}

extension SecretView {
    fileprivate init(_ key: ObjectKey, _ keys: Keys) { self.init(name: key.name, resourceVersion: "", keys: keys) }
}

extension SecretView.Keys {
    /// The first of the names that are understood.
    static let usual = SecretView.Keys(
        keyID: SecretKeys.accessKeyID.first ?? "", secret: SecretKeys.accessKeySecret.first ?? "",
        token: SecretKeys.sessionToken.first ?? "")
}
