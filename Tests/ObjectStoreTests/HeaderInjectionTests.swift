import Foundation
import ObjectStore
import Testing
import TextCoding

/// Nothing that a store or a setting says can begin a header line of its own.
@Suite struct HeaderInjectionTests {
    private static let evil = ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rb", "a\u{0}b", "a\u{7f}b", "a\u{1b}[2J"]

    /// A responder that must not be asked.
    private func silent() throws -> Responder {
        try Responder { _, line in
            line.write(Fixture.answer("200 OK"))
            return true
        }
    }

    @Test(arguments: evil + ["a\", \"b", "W/\"a\""])
    func `an entity tag that breaks out of its line is the store's fault and is not sent`(etag: String) async throws {
        let responder = try silent()
        var range = Fixture.range
        range.etag = etag
        let error = try await Fixture.client(responder.endpoint).fetch(range).error
        #expect(error?.kind == .malformedAnswer)
        #expect(responder.requests == 0)
        #expect(error?.description.contains("\n") == false)
    }

    @Test(arguments: evil)
    func `keys and tokens that break out of their line are a setting's fault and are not sent`(text: String)
        async throws
    {
        let responder = try silent()
        for (credentials, field) in [
            (StoreCredentials(keyID: text, secret: "s"), "OSS_ACCESS_KEY_ID"),
            (StoreCredentials(keyID: "id", secret: text), "OSS_ACCESS_KEY_SECRET"),
            (StoreCredentials(keyID: "id", secret: "s", token: text), "OSS_SESSION_TOKEN"),
        ] {
            for scheme in ["oss", "s3"] {
                let client = try Fixture.client(responder.endpoint, scheme: scheme, credentials: .fixed(credentials))
                let error = await client.fetch().error
                #expect(error?.kind == .settings)
                #expect(error?.description.contains(field) == true)
                #expect(error?.description.contains("X-Evil") == false, "a secret is not shown")
                await #expect(throws: StoreError.self) { try await client.head("models/a") }
            }
        }
        #expect(responder.requests == 0)
    }

    @Test(arguments: evil)
    func `the environment is checked when it is read`(text: String) throws {
        for name in ["ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SESSION_TOKEN"] {
            var variables = ["OSS_ACCESS_KEY_ID": "id", "OSS_ACCESS_KEY_SECRET": "s"]
            variables["OSS_\(name)"] = text
            let error = #expect(throws: SettingError.self) { try CredentialChain(variables, scheme: .oss) }
            #expect(error?.field == "OSS_\(name)")
            #expect(error?.value == nil)
        }
        let amazon = ["AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": text]
        let error = #expect(throws: SettingError.self) { try CredentialChain(amazon, scheme: .s3) }
        #expect(error?.field == "AWS_SECRET_ACCESS_KEY")
    }

    @Test(arguments: evil)
    func `a region is checked, and again when it was changed later`(text: String) async throws {
        let responder = try silent()
        #expect(throws: SettingError.self) { try Fixture.client(responder.endpoint, region: text) }
        var configuration = try StoreConfiguration(
            location: ObjectLocation(parsing: "oss://bucket-x/models/"),
            endpoint: StoreEndpoint(parsing: responder.endpoint),
            region: "cn-x", credentials: .fixed(StoreCredentials(keyID: "id", secret: "s")))
        configuration.region = text
        let error = await StoreClient(configuration, engine: try Fixture.engine()).fetch().error
        #expect(error?.kind == .settings)
        #expect(error?.description.contains("OSS_REGION") == true)
        #expect(responder.requests == 0)
    }

    @Test(arguments: evil)
    func `an endpoint cannot carry one`(text: String) {
        #expect(throws: SettingError.self) { try StoreEndpoint(parsing: "http://\(text)") }
        #expect(throws: SettingError.self) { try StoreEndpoint(parsing: "127.0.0.1\(text)") }
        #expect(throws: SettingError.self) { try StoreEndpoint(parsing: "[::1\(text)]") }
    }

    /// Control characters are lawful in object keys; they travel percent-encoded.
    @Test(arguments: evil)
    func `an object key cannot leave the request's target`(text: String) async throws {
        let responder = try Responder { request, line in
            let clean = request.headers["x-evil"] == nil && request.target.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }
            line.write(Fixture.answer(clean ? "404 Not Found" : "500 Injected", Fixture.xml("NoSuchKey")))
            return true
        }
        var range = Fixture.range
        range.key = "models/\(text)"
        let error = try await Fixture.client(responder.endpoint).fetch(range).error
        #expect(error?.kind == .noSuchKey)
        #expect(responder.requests == 1)
    }

    @Test func `a listing with such an entity tag is malformed`() async throws {
        for tag in ["a&#13;&#10;X-Evil: 1", "a&#0;b", "a\nb", "&quot;a&quot;, &quot;b&quot;"] {
            let body =
                "<ListBucketResult><Contents><Key>models/a</Key><Size>1</Size><ETag>\(tag)</ETag></Contents></ListBucketResult>"
            let responder = try Responder { _, line in
                line.write(Fixture.answer("200 OK", body))
                return true
            }
            let client = try Fixture.client(responder.endpoint)
            let error = await #expect(throws: StoreError.self) { try await client.list() }
            #expect(error?.kind == .malformedAnswer)
            #expect(error?.description.contains("entity tag") == true)
        }
    }
}
