import Foundation
import ObjectStore
import TestSupport
import Testing

/// The keys in a Secret's volume.
@Suite struct MountedSecretTests {
    private func read(_ entries: [String: String]) throws -> MountedSecret {
        try MountedSecret(entries: entries.mapValues { Array($0.utf8) }, name: "keys")
    }

    @Test(arguments: [
        ["OSS_ACCESS_KEY_ID": "id", "OSS_ACCESS_KEY_SECRET": "key", "OSS_SESSION_TOKEN": "token"],
        ["akId": "id", "akSecret": "key", "securityToken": "token"],
        ["AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_SESSION_TOKEN": "token", "other": "x y\n"],
        // The preferred names win, with their own token.
        ["OSS_ACCESS_KEY_ID": "id", "OSS_ACCESS_KEY_SECRET": "key", "OSS_SESSION_TOKEN": "token", "akId": "no", "akSecret": "no"],
    ]) func `keys are found under each of the names`(entries: [String: String]) throws {
        let secret = try read(entries)
        #expect(secret.credentials == StoreCredentials(keyID: "id", secret: "key", token: "token"))
        #expect(secret.settings == ["OSS_ACCESS_KEY_ID": "id", "OSS_ACCESS_KEY_SECRET": "key", "OSS_SESSION_TOKEN": "token"])
    }

    @Test func `a token of another pair is none of this one's`() throws {
        let secret = try read(["OSS_ACCESS_KEY_ID": "id", "OSS_ACCESS_KEY_SECRET": "key", "AWS_SESSION_TOKEN": "t"])
        #expect(secret.credentials.token == nil)
    }

    @Test(arguments: [
        ([:], MountedSecret.Problem.Kind.notFound, "there is no Secret keys"), (["akId": "x"], .invalid, "has akId and not akSecret"),
        (["OSS_ACCESS_KEY_ID": "x\n", "OSS_ACCESS_KEY_SECRET": "geheim"], .invalid, "line break"),
        (["user": "geheim"], .invalid, "it has user"),
        (["akId": "", "akSecret": ""], .invalid, "it has akId, akSecret"),
        (["akId": "x", "akSecret": "y", "OSS_CREDENTIALS_EXPIRATION": "tomorrow"], .invalid, "is no time"),
    ] as [([String: String], MountedSecret.Problem.Kind, String)])
    func `a Secret that is no use is explained without its values`(
        entries: [String: String], kind: MountedSecret.Problem.Kind, words: String
    ) {
        let problem = #expect(throws: MountedSecret.Problem.self) { try read(entries) }
        #expect(problem?.kind == kind && problem?.description.contains(words) == true, "\(String(describing: problem))")
        #expect(problem?.description.contains("geheim") == false)
    }

    @Test func `the expiry of the credentials is read where the Secret says one`() throws {
        let secret = try read(["akId": "x", "akSecret": "y", "OSS_CREDENTIALS_EXPIRATION": "2026-11-21T05:43:40Z"])
        #expect(secret.credentials.expiration == 1_795_239_820)
    }

    @Test func `another key, entry or expiry is another version, which shows sixteen bits`() throws {
        let entries = ["akId": "id", "akSecret": "key"]
        let version = try read(entries).version
        let noted = try read(entries.merging(["note": "new"]) { $1 }).version
        #expect(version.count == 4 && version == noted)
        let others = [
            ["akId": "id", "akSecret": "other"], ["OSS_ACCESS_KEY_ID": "id", "OSS_ACCESS_KEY_SECRET": "key"],
            entries.merging(["securityToken": "t"]) { $1 },
            entries.merging(["OSS_CREDENTIALS_EXPIRATION": "2026-11-21T05:43:40Z"]) { $1 },
        ]
        for other in others { #expect(try read(other).version != version) }
    }

    @Test func `a volume is read as the kubelet lays it out, also after it renewed it`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "secret-\(UUID())")
        defer { try? FileManager.default.removeItem(at: folder) }
        func lay(_ name: String, _ entries: [String: String]) throws {
            let place = folder.appending(path: name)
            try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
            for (entry, value) in entries {
                try Data(value.utf8).write(to: place.appending(path: entry))
                let link = folder.appending(path: entry)
                if (try? FileManager.default.attributesOfItem(atPath: link.path)) == nil {
                    try FileManager.default.createSymbolicLink(atPath: link.path, withDestinationPath: "..data/\(entry)")
                }
            }
            try? FileManager.default.removeItem(at: folder.appending(path: "..data"))
            try FileManager.default.createSymbolicLink(
                atPath: folder.appending(path: "..data").path, withDestinationPath: name)
        }
        let environment = [MountedSecret.folderVariable: folder.path, MountedSecret.nameVariable: "keys"]
        #expect(throws: MountedSecret.Problem.self) { try MountedSecret.read(environment: environment) }
        try lay("..1", ["akId": "a", "akSecret": "s", "large": String(repeating: "x", count: 1 << 20)])
        #expect(try MountedSecret.read(environment: environment)?.credentials.keyID == "a")
        try lay("..2", ["akId": "b", "akSecret": "s"])
        #expect(try MountedSecret.read(environment: environment)?.credentials.keyID == "b")
        #expect(try MountedSecret.read(environment: [:]) == nil)
    }
}

/// What a Job tells of a listing.
@Suite struct SourceSummaryTests {
    private func catalog(_ count: Int) throws -> SourceCatalog {
        let objects = (0..<count).map { StoredObject(key: "m/\($0).gguf", size: UInt64($0), etag: "e\($0)", lastModified: nil) }
        return SourceCatalog(ObjectListing(objects: objects), of: try ObjectLocation(parsing: "oss://models/m/"), include: [])
    }

    @Test(arguments: [3, 100, 204, 205, 5000]) func `a line fits a termination message and names objects while they fit`(count: Int) throws {
        let line = SourceSummary(try catalog(count)).line
        #expect(line.utf8.count <= 4096 && !line.contains("\n"))
        let read = try JSONDecoder().decode(SourceSummary.self, from: Data(line.utf8))
        #expect(read.files == count && (read.objects?.count ?? 0) == (count <= 100 ? count : 0))
    }

    @Test func `a changed object has another hash`() throws {
        let location = try ObjectLocation(parsing: "oss://models/m/")
        func objects(_ size: UInt64, _ etag: String) -> [String: String]? {
            SourceSummary(
                SourceCatalog(
                    ObjectListing(objects: [StoredObject(key: "m/a", size: size, etag: etag, lastModified: nil)]), of: location, include: [])
            ).objects
        }
        #expect(objects(1, "a") != objects(2, "a") && objects(1, "a") != objects(1, "b") && objects(1, "a") == objects(1, "a"))
    }

    @Test func `a Secret's problem stays one on its way`() throws {
        let problem = MountedSecret.Problem(.notFound, "there is no Secret keys")
        let line = SourceSummary(problem).line
        let read = try JSONDecoder().decode(SourceSummary.self, from: Data(line.utf8))
        #expect(read.secretProblem == problem)
        #expect(SourceSummary(StoreError(.accessDenied, detail: "x")).secretProblem == nil)
    }
}
