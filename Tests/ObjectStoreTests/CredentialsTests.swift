import Foundation
import ObjectStore
import Synchronization
import Testing
import TextCoding

@Suite struct CredentialsTests {
    private func parse(_ text: String) throws -> StoreCredentials { try CredentialsFile.parse(Array(text.utf8)) }

    @Test(arguments: [
        "OSS_ACCESS_KEY_ID=id\nOSS_ACCESS_KEY_SECRET=a=b#c\nOSS_SESSION_TOKEN=tok/+=\nOSS_CREDENTIALS_EXPIRATION=2026-11-21T06:00:00Z",
        "# keys\r\n\r\n  export OSS_ACCESS_KEY_ID = \"id\" \r\nexport\tOSS_ACCESS_KEY_SECRET='a=b#c'\r\nOSS_SESSION_TOKEN= tok/+= \r\nOSS_CREDENTIALS_EXPIRATION=\"2026-11-21T06:00:00Z\"\r\n",
        "\u{feff}OSS_ACCESS_KEY_ID=id\nnonsense\nOSS_ACCESS_KEY_SECRET=a=b#c\nOSS_SESSION_TOKEN=tok/+=\nOSS_CREDENTIALS_EXPIRATION=2026-11-21T06:00:00.123Z",
        "{\"AccessKeyId\":\"id\",\"AccessKeySecret\":\"a=b#c\",\"SecurityToken\":\"tok/+=\",\"Expiration\":\"2026-11-21T06:00:00Z\"}",
        "\n {\"AccessKeyId\":\"id\",\"SecretAccessKey\":\"a=b#c\",\"SessionToken\":\"tok/+=\",\"Expiration\":\"2026-11-21T06:00:00Z\",\"Code\":\"Success\"}",
    ])
    func `lines as a shell reads them and JSON mean the same`(text: String) throws {
        let got = try parse(text)
        #expect(got == StoreCredentials(keyID: "id", secret: "a=b#c", token: "tok/+=", expiration: 1_795_240_800))
    }

    @Test(arguments: [
        "", "OSS_ACCESS_KEY_ID=id", "OSS_ACCESS_KEY_ID=\"\"\nOSS_ACCESS_KEY_SECRET=s", "{\"AccessKeyId\":\"id\"}", "{",
        "{}",
        "{\"AccessKeyId\":\"id\",\"AccessKeySecret\":\"s\",\"Expiration\":\"tomorrow\"}",
        "OSS_ACCESS_KEY_ID=id\nOSS_ACCESS_KEY_SECRET=s\nOSS_CREDENTIALS_EXPIRATION=1795240800",
        "{\"AccessKeyId\":\"id\\r\\nX-Evil: 1\",\"AccessKeySecret\":\"s\"}",
        "OSS_ACCESS_KEY_ID=id\u{1}\nOSS_ACCESS_KEY_SECRET=s",
    ])
    func `what is no key pair is refused`(text: String) {
        #expect(throws: CredentialsFile.Problem.self) { try parse(text) }
    }

    @Test func `an error names the file and never its contents`() throws {
        let directory = try Fixture.directory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appending(path: "keys").path
        try "OSS_ACCESS_KEY_SECRET=verysecret".write(toFile: path, atomically: true, encoding: .utf8)
        let error = #expect(throws: StoreError.self) { try CredentialsProvider.file(path).current() }
        #expect(error?.description.contains(path) == true)
        #expect(error?.description.contains("verysecret") == false)
    }

    @Test func `a huge file, a FIFO, a directory and a missing file are refused at once`() throws {
        let directory = try Fixture.directory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let huge = directory.appending(path: "huge").path
        #expect(FileManager.default.createFile(atPath: huge, contents: nil))
        // Sparse: reading it whole would take all memory.
        #expect(truncate(huge, 1 << 40) == 0)
        let fifo = directory.appending(path: "fifo").path
        #expect(mkfifo(fifo, 0o600) == 0)
        for (path, problem) in [
            (huge, "larger than 64 KiB"), (fifo, "not a regular file"), (directory.path, "not a regular file"),
            (directory.path + "/none", "No such file"),
        ] {
            let error = #expect(throws: StoreError.self) { try CredentialsProvider.file(path).current() }
            #expect(error?.detail.contains(problem) == true, "\(path)")
        }
    }

    @Test func `a file is read again when its contents expire, and not before`() throws {
        let directory = try Fixture.directory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appending(path: "keys").path
        func write(_ token: String, expiresIn seconds: Double) throws {
            let expiry = Date(timeIntervalSinceNow: seconds).formatted(.iso8601)
            try
                "OSS_ACCESS_KEY_ID=id\nOSS_ACCESS_KEY_SECRET=s\nOSS_SESSION_TOKEN=\(token)\nOSS_CREDENTIALS_EXPIRATION=\(expiry)\n"
                .write(toFile: path, atomically: true, encoding: .utf8)
        }
        let provider = CredentialsProvider.file(path)
        try write("first", expiresIn: 30)
        #expect(try provider.current()?.token == "first")
        try write("second", expiresIn: 3600)
        #expect(try provider.current()?.token == "second", "30 s before the expiry it is renewed")
        try write("third", expiresIn: 3600)
        #expect(try provider.current()?.token == "second", "an hour before, it is not")
    }

    @Test func `credentials that still hold outlive a file that is half written`() throws {
        let directory = try Fixture.directory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appending(path: "keys").path
        let expiry = Date(timeIntervalSinceNow: 30).formatted(.iso8601)
        try "OSS_ACCESS_KEY_ID=id\nOSS_ACCESS_KEY_SECRET=s\nOSS_CREDENTIALS_EXPIRATION=\(expiry)\n"
            .write(toFile: path, atomically: true, encoding: .utf8)
        let provider = CredentialsProvider.file(path)
        #expect(try provider.current()?.keyID == "id")
        try "OSS_ACC".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(try provider.current()?.keyID == "id")
    }

    /// For a range, a HEAD and a listing alike; and only once, so that a store that refuses everything is left alone.
    @Test(arguments: ["SecurityTokenExpired", "InvalidAccessKeyId"])
    func `a refused token is renewed from the file and the request repeated`(code: String) async throws {
        let directory = try Fixture.directory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appending(path: "keys").path
        func write(_ token: String) throws {
            try "{\"AccessKeyId\":\"id\",\"AccessKeySecret\":\"s\",\"SecurityToken\":\"\(token)\"}"
                .write(toFile: path, atomically: true, encoding: .utf8)
        }
        let responder = try Responder { request, line in
            guard request.headers["x-oss-security-token"] == "good" else {
                let encoded = Data(Fixture.xml(code).utf8).base64EncodedString()
                let body = request.method == "HEAD" ? "" : Fixture.xml(code)
                line.write(Fixture.answer("403 Forbidden", body, headers: "x-oss-err: \(encoded)\r\n"))
                return true
            }
            switch (request.method, request.target.contains("list-type")) {
            case ("HEAD", _): line.write("HTTP/1.1 200 OK\r\nETag: \"tag\"\r\nContent-Length: 5000\r\n\r\n")
            case (_, true): line.write(Fixture.answer("200 OK", "<ListBucketResult></ListBucketResult>"))
            default:
                line.write(Fixture.rightHead)
                line.write(Fixture.body)
            }
            return true
        }
        func client() throws -> StoreClient {
            try write("stale")
            let provider = CredentialsProvider.file(path)
            _ = try provider.current()
            return try Fixture.client(responder.endpoint, credentials: provider)
        }
        var fresh = try client()
        try write("good")
        #expect(await fresh.fetch().error == nil)
        fresh = try client()
        try write("good")
        #expect(try await fresh.head("models/a").size == 5000)
        fresh = try client()
        try write("good")
        #expect(try await fresh.list().objects.isEmpty)
        #expect(responder.requests == 6)

        fresh = try client()
        #expect(await fresh.fetch().error?.code == code, "the same keys are not sent again")
        #expect(responder.requests == 7)
        try write("stale too")
        #expect(await fresh.fetch().error?.code == code)
        #expect(responder.requests == 9)
    }
}
