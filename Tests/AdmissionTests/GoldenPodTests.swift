import Admission
import Foundation
import Kubernetes
import Testing

/// Golden/*.json: `pod` goes in; `patch`, `warnings` and `after` are what came out when a person last looked at them. With
/// MODELCACHE_REGENERATE_GOLDEN=1 those three are written anew: read the difference before it is kept.
///
/// `target` changes the ModelCache (`ready`, `warm`, `deleting`, `unresolved`); false: there is none. `names`: those there are.
@Suite struct GoldenPodTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")

    static let cases: [String] = {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return files.filter { $0.hasSuffix(".json") }.sorted()
    }()

    @Test func thereAreSome() { #expect(Self.cases.count >= 20) }

    @Test(arguments: cases)
    func aGoldenPodIsPatchedAsBefore(file: String) throws {
        let url = Self.folder.appending(path: file)
        let golden = try JSONDecoder().decode(JSONValue.self, from: Data(contentsOf: url))
        guard case .object(var members) = golden, let pod = golden["pod"] else { Issue.record("\(file) has no pod"); return }
        let names = golden["names"]?.list.compactMap(\.string) ?? []
        let patch = PodPatch.make(pod, target(golden["target"]), names: names)
        let written = try JSONDecoder().decode(JSONValue.self, from: JSONEncoder().encode(patch.operations))
        let after = try patch.applied(to: pod)
        let warnings = JSONValue.array(patch.warnings.map { .string($0) })

        if ProcessInfo.processInfo.environment["MODELCACHE_REGENERATE_GOLDEN"] == "1" {
            members["patch"] = written
            members["warnings"] = warnings
            members["after"] = after
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            try (encoder.encode(JSONValue.object(members)) + Data("\n".utf8)).write(to: url)
            return
        }
        #expect(golden["patch"] == written)
        #expect(golden["warnings"] == warnings)
        #expect(golden["after"] == after)
        #expect(PodPatch.make(after, target(golden["target"]), names: names).operations.isEmpty, "a second patch changes the pod")
    }

    private func target(_ changes: JSONValue?) -> InjectionTarget? {
        guard let changes else { return PodFixtures.target() }
        guard changes != false else { return nil }
        let unresolved = changes["unresolved"]?.string
        let warm = changes["warm"]?.list.compactMap(\.string)
        return PodFixtures.target(
            ready: changes["ready"] != false, warm: warm ?? ["node-2", "node-1"], deleting: changes["deleting"] == true, unresolved: unresolved,
            secret: changes["anonymous"] != true)
    }
}
