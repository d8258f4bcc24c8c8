import Foundation
import ObjectStore
import Testing

/// What each refusal of a store means for the next request.
@Suite struct ErrorClassTests {
    private static func error(_ status: String, code: String = "", message: String = "no", headers: String = "") async throws -> StoreError? {
        let responder = try Responder { _, line in
            line.write(Fixture.answer(status, code.isEmpty ? "" : Fixture.xml(code, message), headers: headers))
            return false
        }
        return try await Fixture.client(responder.endpoint).fetch().error
    }

    @Test(arguments: [400, 402, 405, 406, 409, 410, 411, 413, 414, 415, 417, 418, 421, 422, 423, 424, 426, 431, 451, 499])
    func `an unknown 4xx is permanent`(status: Int) async throws {
        let error = try await Self.error("\(status) Odd", code: "NeverHeardOf")
        #expect(error?.class == .permanent)
        #expect(error?.isRetryable == false)
    }

    @Test(arguments: [
        ("400 Bad", "RequestTimeout", StoreErrorClass.retry), ("500 Bad", "InternalError", .retry), ("502 Bad", "", .retry),
        ("504 Bad", "", .retry), ("408 Bad", "", .retry), ("503 Bad", "", .waitAsTold), ("429 Bad", "", .waitAsTold),
        ("503 Bad", "SlowDown", .waitAsTold), ("400 Bad", "Throttling", .waitAsTold), ("403 No", "RequestTimeTooSkewed", .clock),
        ("403 No", "InvalidAccessKeyId", .credentials), ("403 No", "SignatureDoesNotMatch", .credentials),
        ("400 No", "ExpiredToken", .credentials), ("403 No", "SecurityTokenExpired", .credentials), ("403 No", "AccessDenied", .permanent),
        ("403 No", "InvalidObjectState", .permanent), ("404 No", "NoSuchBucket", .permanent), ("412 No", "PreconditionFailed", .permanent),
    ])
    func `status and code have a class`(status: String, code: String, want: StoreErrorClass) async throws {
        #expect(try await Self.error(status, code: code)?.class == want)
    }

    @Test(arguments: [
        ("403 No", "InvalidObjectState", "no", "restore it"), ("400 No", "KMS.DisabledException", "no", "kms:Decrypt"),
        ("403 No", "AccessDenied", "User is not authorized to perform: kms:Decrypt", "kms:Decrypt"),
        ("404 No", "SymlinkTargetNotExist", "no", "link"),
        ("400 No", "InvalidRequest", "The object was stored using a form of Server Side Encryption. The correct parameters must be provided", "SSE-C"),
    ])
    func `an object that cannot be read is named with its remedy`(status: String, code: String, message: String, remedy: String) async throws {
        let error = try await Self.error(status, code: code, message: message)
        #expect(error?.kind == .unreadable && error?.concernsObject == true)
        #expect(error?.description.contains("models/a") == true && error?.description.contains(remedy) == true)
        #expect(error?.description.contains("MODELCACHE_INCLUDE") == true)
    }

    /// The page that people read says what the code does.
    @Test func `docs stores md shows the table of codes`() throws {
        let page = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../docs/stores.md").standardizedFileURL
        let lines = try String(contentsOf: page, encoding: .utf8).components(separatedBy: "\n")
        var shown: [String: String] = [:]
        for line in lines where line.hasPrefix("| `") {
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            guard cells.count == 2, StoreErrorClass(rawValue: cells[1]) != nil else { continue }
            for code in cells[0].split(separator: " ") { shown[code.trimmingCharacters(in: ["`"])] = cells[1] }
        }
        var real: [String: String] = [:]
        for (code, kind) in StoreErrorTable.kinds { real[code] = StoreError(kind, detail: "").class.rawValue }
        let wrong = Set(real.keys).union(shown.keys).filter { real[$0] != shown[$0] }
        #expect(wrong.isEmpty, "\(wrong.sorted().map { "\($0) is \(real[$0] ?? "unknown"), shown as \(shown[$0] ?? "nothing")" })")
    }
}
