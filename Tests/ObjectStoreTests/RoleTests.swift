import Foundation
import ObjectStore
import Synchronization
import TestSupport
import Testing

/// A service that responds as the test says.
private final class Script: CredentialTransport {
    private let log = Mutex<[CredentialRequest]>([])
    private let respond: @Sendable (CredentialRequest, Int) throws(NoResponse) -> CredentialResponse

    init(_ respond: @escaping @Sendable (CredentialRequest, Int) throws(NoResponse) -> CredentialResponse) {
        self.respond = respond
    }

    var requests: [CredentialRequest] { log.withLock { $0 } }

    func send(_ request: CredentialRequest) throws(NoResponse) -> CredentialResponse {
        let number = log.withLock { log in
            log.append(request)
            return log.count
        }
        return try respond(request, number)
    }
}

private func text(_ status: Int, _ body: String) -> CredentialResponse {
    CredentialResponse(status: status, body: Array(body.utf8))
}

/// 2026-11-21T05:00:00Z
private let now: Int64 = 1_795_237_200
private let end = "2026-11-21T06:00:00Z"
private let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"
private let issued = StoreCredentials(keyID: "STS.id", secret: "sec", token: "tok", expiration: now + 3600)

private let oidcAnswer =
    #"{"RequestId":"R","AssumedRoleUser":{"Arn":"a"},"Credentials":{"SecurityToken":"tok","Expiration":"\#(end)","AccessKeySecret":"sec","AccessKeyId":"STS.id"}}"#
private let webAnswer = """
    <AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
    <Credentials><AccessKeyId>STS.id</AccessKeyId><SecretAccessKey>sec</SecretAccessKey><SessionToken>tok</SessionToken>
    <Expiration>\(end)</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>
    """
private let ecsAnswer =
    #"{"Code":"Success","LastUpdated":"x","AccessKeyId":"STS.id","AccessKeySecret":"sec","SecurityToken":"tok","Expiration":"\#(end)"}"#
private let awsAnswer =
    #"{"Code":"Success","AccessKeyId":"STS.id","SecretAccessKey":"sec","Token":"tok","Expiration":"\#(end)","Type":"AWS-HMAC"}"#

@Suite struct RoleTests {
    private func ramRole(_ handed: String? = token) throws -> RoleSource {
        let box = HandedToken()
        if let handed { box.hand(handed) }
        return .ramRole(
            .init(
                roleARN: "acs:ram::1:role/r", providerARN: "acs:ram::1:oidc-provider/ack", token: .handed(box),
                endpoint: try ServiceEndpoint(parsing: "sts.cn-hangzhou.aliyuncs.com", field: "")))
    }

    private func iamRole() throws -> RoleSource {
        let box = HandedToken()
        box.hand(token)
        return .iamRole(
            .init(
                roleARN: "arn:aws:iam::1:role/r", token: .handed(box),
                endpoint: try ServiceEndpoint(parsing: "sts.eu-west-1.amazonaws.com", field: "")))
    }

    private func fetch(_ source: RoleSource, _ script: Script) throws(CredentialsProblem) -> StoreCredentials? {
        try CredentialExchange(transport: script, now: now).fetch(source)
    }

    @Test func `a RAM role is assumed with the token, unsigned`() throws {
        let script = Script { _, _ in text(200, oidcAnswer) }
        #expect(try fetch(try ramRole(), script) == issued)
        let request = try #require(script.requests.first)
        #expect(request.method == "POST" && request.url == "https://sts.cn-hangzhou.aliyuncs.com/")
        #expect(request.reach == .service)
        let form = try #require(request.form)
        for field in [
            "Action=AssumeRoleWithOIDC", "Format=JSON", "Version=2015-04-01", "Timestamp=2026-11-21T05%3A00%3A00Z",
            "RoleArn=acs%3Aram%3A%3A1%3Arole%2Fr", "OIDCProviderArn=acs%3Aram%3A%3A1%3Aoidc-provider%2Fack",
            "OIDCToken=\(token)", "RoleSessionName=modelcache", "DurationSeconds=3600",
        ] {
            #expect(form.split(separator: "&").contains { $0 == field }, "\(field)")
        }
    }

    @Test func `an IAM role is assumed with the token`() throws {
        let script = Script { _, _ in text(200, webAnswer) }
        #expect(try fetch(try iamRole(), script) == issued)
        #expect(script.requests.first?.form?.contains("WebIdentityToken=\(token)") == true)
    }

    @Test(arguments: [
        ("EntityNotExist.Role", 404, CredentialsProblem.Kind.refused, "make the role again"),
        ("AuthenticationFail.NoPermission", 403, .refused, "trust policy"),
        ("AuthenticationFail.OIDCToken.Expired", 400, .refused, "kubelet"),
        ("AuthenticationFail.OIDCToken.AudienceNotMatch", 400, .refused, "audience"),
        ("EntityNotExist.OIDCProvider", 404, .refused, "OIDC provider's ARN"),
        ("Throttling.User", 400, .unavailable, ""), ("ServiceUnavailable", 503, .unavailable, ""),
    ])
    func `a refusal names principal, code and remedy, and never the token`(
        code: String, status: Int, kind: CredentialsProblem.Kind, remedy: String
    ) throws {
        let script = Script { _, _ in
            text(status, #"{"RequestId":"REQ","Code":"\#(code)","Message":"The token \#(token) is bad","HostId":"h"}"#)
        }
        let problem = try #require(throws: CredentialsProblem.self) { try fetch(try ramRole(), script) }
        #expect(problem.kind == kind && problem.code == code && problem.requestID == "REQ")
        #expect(remedy.isEmpty ? problem.remedy.isEmpty : problem.remedy.contains(remedy))
        #expect(problem.description.contains("RAM role acs:ram::1:role/r"))
        for part in token.split(separator: ".") { #expect(!problem.description.contains(part)) }
    }

    @Test func `no field of a refusal shows the token, whatever stands behind it`() throws {
        let marked = token.replacing(".", with: "\u{301}.") + "\u{301}"
        let script = Script { _, _ in
            text(400, #"{"RequestId":"\#(token)","Code":"\#(token)","Message":"The token \#(marked) is bad"}"#)
        }
        let problem = try #require(throws: CredentialsProblem.self) { try fetch(try ramRole(), script) }
        let said = Array("\(problem) \(problem.code ?? "") \(problem.requestID ?? "")".utf8)
        for part in token.utf8.split(separator: 0x2e) { #expect(said.firstRange(of: Array(part)) == nil) }
    }

    @Test func `an answer with a code shows nothing of the token either`() throws {
        let script = Script { _, _ in text(200, #"{"Credentials":{"Code":"\#(token)"}}"#) }
        let problem = try #require(throws: CredentialsProblem.self) { try fetch(try ramRole(), script) }
        let said = Array("\(problem) \(problem.code ?? "")".utf8)
        for part in token.utf8.split(separator: 0x2e) { #expect(said.firstRange(of: Array(part)) == nil) }
    }

    /// Swift's characters have no bound: one letter may carry any number of combining marks.
    @Test func `a refusal has a bound in bytes`() throws {
        let long = "e" + String(repeating: "\u{301}", count: 20_000)
        let script = Script { _, _ in text(400, #"{"RequestId":"\#(long)","Code":"\#(long)","Message":"\#(long)"}"#) }
        let problem = try #require(throws: CredentialsProblem.self) { try fetch(try ramRole(), script) }
        #expect(problem.detail.utf8.count <= 500 && (problem.code ?? "").utf8.count <= 100)
        #expect((problem.requestID ?? "").utf8.count <= 100)
    }

    @Test func `AWS's refusal is read from its XML`() throws {
        let script = Script { _, _ in
            text(
                403,
                "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not authorized</Message></Error><RequestId>R</RequestId></ErrorResponse>"
            )
        }
        let problem = try #require(throws: CredentialsProblem.self) { try fetch(try iamRole(), script) }
        #expect(problem.kind == .refused && problem.code == "AccessDenied" && problem.requestID == "R")
    }

    /// A caller may name any file: its content must not leave unless it is a token.
    @Test(arguments: ["root:x:0:0:root:/root:/bin/bash", "a.b.c", "eyJ.e30", "eyJhbGciOi J9.e30.c2ln"])
    func `nothing but a signed token is sent`(content: String) throws {
        let directory = try Fixture.directory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appending(path: "token").path
        try content.write(toFile: path, atomically: true, encoding: .utf8)
        let script = Script { _, _ in text(200, oidcAnswer) }
        let source = RoleSource.ramRole(
            .init(
                roleARN: "r", providerARN: "p", token: .file(path),
                endpoint: try ServiceEndpoint(parsing: "sts.aliyuncs.com", field: "")))
        let problem = try #require(throws: CredentialsProblem.self) { try fetch(source, script) }
        #expect(problem.kind == .refused && script.requests.isEmpty)
        #expect(!problem.description.contains("/bin/bash"))
    }

    @Test(arguments: [
        "{}", "", "<html>", #"{"Credentials":{"AccessKeyId":"a","AccessKeySecret":"b","SecurityToken":"c"}}"#,
        #"{"Credentials":{"AccessKeyId":"a","AccessKeySecret":"b","SecurityToken":"c","Expiration":"2020-01-01T00:00:00Z"}}"#,
        #"{"Credentials":{"AccessKeyId":"a\nX: y","AccessKeySecret":"b","SecurityToken":"c","Expiration":"\#(end)"}}"#,
        #"{"Credentials":{"AccessKeyId":"a","AccessKeySecret":"","SecurityToken":"c","Expiration":"\#(end)"}}"#,
    ])
    func `an answer without usable keys is none`(body: String) throws {
        let script = Script { _, _ in text(200, body) }
        #expect(try #require(throws: CredentialsProblem.self) { try fetch(try ramRole(), script) }.kind == .unavailable)
    }

    // MARK: Instances

    @Test func `the ECS instance's role is asked for with a session token`() throws {
        let script = Script { request, _ in
            switch (request.method, request.url) {
            case ("PUT", "http://100.100.100.200/latest/api/token"): text(200, "SESSION")
            case ("GET", "http://100.100.100.200/latest/meta-data/ram/security-credentials/"): text(200, "node-role")
            case ("GET", "http://100.100.100.200/latest/meta-data/ram/security-credentials/node-role"):
                text(200, ecsAnswer)
            default: text(500, "")
            }
        }
        #expect(try fetch(.ecsInstance(.init(isRequired: true)), script) == issued)
        #expect(script.requests.dropFirst().allSatisfy { $0.headers == ["X-aliyun-ecs-metadata-token: SESSION"] })
        #expect(script.requests.allSatisfy { $0.reach == .metadata })
    }

    @Test func `a service of the first version is asked without one, unless it must be hardened`() throws {
        let script = Script { request, _ in
            request.method == "PUT" ? text(404, "") : text(200, request.url.hasSuffix("/r") ? ecsAnswer : "r")
        }
        #expect(try fetch(.ecsInstance(.init(role: "r", isRequired: true)), script) == issued)
        #expect(throws: CredentialsProblem.self) {
            try fetch(.ecsInstance(.init(role: "r", isRequired: true, isHardened: true)), script)
        }
        #expect(throws: CredentialsProblem.self) { try fetch(.ec2Instance(.init(role: "r", isRequired: true)), script) }
    }

    @Test func `EC2's role comes from IMDS of version 2`() throws {
        let script = Script { request, _ in
            switch (request.method, request.url) {
            case ("PUT", "http://169.254.169.254/latest/api/token"): text(200, "SESSION")
            case ("GET", "http://169.254.169.254/latest/meta-data/iam/security-credentials/"): text(200, "node-role\n")
            case ("GET", "http://169.254.169.254/latest/meta-data/iam/security-credentials/node-role"):
                text(200, awsAnswer)
            default: text(500, "")
            }
        }
        #expect(try fetch(.ec2Instance(.init(isRequired: true)), script) == issued)
    }

    @Test(arguments: [true, false])
    func `an instance without a role is anonymous unless its role was asked for`(isRequired: Bool) throws {
        for broken in [false, true] {
            let script = Script { request, _ throws(NoResponse) in
                if broken { throw NoResponse("Connection timed out") }
                return request.method == "PUT" ? text(200, "S") : text(404, "")
            }
            if isRequired {
                #expect(throws: CredentialsProblem.self) { try fetch(.ecsInstance(.init(isRequired: true)), script) }
            } else {
                #expect(try fetch(.ecsInstance(.init(isRequired: false)), script) == nil)
            }
        }
    }

    @Test(arguments: ["../../user-data", "a b", "", "a\u{1}b"])
    func `a metadata service cannot lead to another path`(role: String) throws {
        let script = Script { request, _ in request.method == "PUT" ? text(200, "S") : text(200, role) }
        #expect(throws: CredentialsProblem.self) { try fetch(.ecsInstance(.init(isRequired: true)), script) }
        #expect(script.requests.count == 2)
    }

    // MARK: Containers

    @Test func `EKS Pod Identity is asked with the authorization of its file, read each time`() throws {
        let directory = try Fixture.directory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appending(path: "authorization").path
        let script = Script { _, _ in text(200, awsAnswer) }
        let source = RoleSource.container(.init(url: "http://169.254.170.23/v1/credentials", authorizationFile: path))
        for content in ["first", "second"] {
            try "\(content)\n".write(toFile: path, atomically: true, encoding: .utf8)
            #expect(try fetch(source, script) == issued)
            #expect(script.requests.last?.headers.contains("Authorization: \(content)") == true)
        }
    }

    @Test(arguments: [
        "http://100.100.100.200/latest/user-data", "http://169.254.169.254/latest/user-data", "http://example.com/c",
        "ftp://127.0.0.1/c", "file:///etc/shadow", "http://169.254.170.23.example.com/", "https://169.254.170.2/x",
        "http://169.254.170.2@example.com/",
    ])
    func `a container's address leads neither to a metadata service nor over a network in plain text`(url: String)
        throws
    {
        let script = Script { _, _ in text(200, awsAnswer) }
        let problem = try #require(throws: CredentialsProblem.self) { try fetch(.container(.init(url: url)), script) }
        #expect(problem.kind == .refused && script.requests.isEmpty)
    }

    // MARK: Carried out

    @Test func `everybody who waits gets the keys of one fetch`() async throws {
        let script = Script { _, _ in text(200, oidcAnswer) }
        let role = RoleCredentials(try ramRole(), transport: script, clock: { now })
        let got = await withTaskGroup(of: StoreCredentials?.self) { group in
            for _ in 0..<20 { group.addTask { try? await role.ready() } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(got.count == 20 && got.allSatisfy { $0 == issued })
        #expect(script.requests.count == 1)
        #expect(try role.current() == issued)
    }

    @Test func `a role that was withdrawn is an error of its own with the remedy`() async throws {
        let script = Script { _, _ in text(404, #"{"Code":"EntityNotExist.Role","Message":"The role not exists"}"#) }
        let role = RoleCredentials(try ramRole(), transport: script, clock: { now })
        let error = try #require(await #expect(throws: StoreError.self) { try await role.ready() })
        #expect(error.kind == .credentialsRefused && error.class == .credentials && !error.isRetryable)
        #expect(error.description.contains("acs:ram::1:role/r") && error.remedy.contains("make the role again"))
        #expect(role.problem?.code == "EntityNotExist.Role")
        #expect(throws: StoreError.self) { try role.current() }
        #expect(script.requests.count == 1, "it is not asked again at once")
    }

    @Test func `a service that is away is an error that the same request may outlive`() async throws {
        let script = Script { _, _ throws(NoResponse) in throw NoResponse("Connection refused") }
        let role = RoleCredentials(try ramRole(), transport: script, clock: { now })
        let error = try #require(await #expect(throws: StoreError.self) { try await role.ready() })
        #expect(error.kind == .credentialsUnavailable && error.isRetryable && error.retryAfter != nil)
    }

    @Test func `the store's refusal renews the keys and the request is repeated with them`() async throws {
        let clock = Mutex(now)
        let script = Script { _, number in
            text(200, oidcAnswer.replacing("STS.id", with: "STS.\(number)"))
        }
        let role = RoleCredentials(try ramRole(), transport: script, clock: { clock.withLock { $0 } })
        let responder = try Responder { request, line in
            if request.headers["authorization"]?.contains("STS.1") == true {
                line.write(Fixture.answer("403 Forbidden", Fixture.xml("SecurityTokenExpired")))
            } else {
                line.write(Fixture.answer("200 OK", "<ListBucketResult></ListBucketResult>"))
            }
            return true
        }
        let client = try Fixture.client(responder.endpoint, credentials: CredentialsProvider(role))
        _ = try await role.ready()
        clock.withLock { $0 += 100 }
        #expect(try await client.list().objects.isEmpty)
        #expect(script.requests.count == 2 && responder.requests == 2)
    }

    @Test func `a token that was handed over goes when it expires`() throws {
        let script = Script { _, _ in text(200, oidcAnswer) }
        let source = try ramRole(nil)
        guard case .ramRole(let role) = source, case .handed(let box) = role.token else { return }
        box.hand(token, until: now + 1)
        #expect(try fetch(source, script) == issued)
        box.hand(token, until: now)
        let problem = #expect(throws: CredentialsProblem.self) { try fetch(source, script) }
        #expect(problem?.kind == .unavailable && problem?.detail.contains("still valid") == true)
        #expect(script.requests.count == 1, "nobody is asked with it")
    }

    @Test func `a cache's role is kept while somebody reads as it, with the newest token`() throws {
        let shelf = RoleShelf()
        let endpoint = try ServiceEndpoint(parsing: "sts.aliyuncs.com", field: "")
        func role(_ token: String, of uid: String = "a", arn: String = "r") -> RoleCredentials {
            shelf.role(of: uid, token: token) {
                .ramRole(.init(roleARN: arn, providerARN: "p", token: $0, endpoint: endpoint))
            }
        }
        weak var forgotten: RoleCredentials?
        do {
            let first = role("one")
            forgotten = first
            #expect(role("two") === first)
            #expect(role("two", of: "b") !== first, "another cache's")
            #expect(role("three", arn: "other") !== first, "the ModelCache names another role now")
        }
        #expect(forgotten == nil, "nobody reads as it")
    }

    @Test func `equal sources share their credentials while somebody reads as them`() throws {
        let source = try ramRole()
        let one = RoleCredentials.shared(source)
        #expect(RoleCredentials.shared(source) === one)
        #expect(RoleCredentials.all.contains { $0 === one })
    }
}

/// The transport itself, against sockets.
@Suite struct CredentialTransportTests {
    private func send(_ url: String, _ reach: CredentialRequest.Reach = .service) throws(NoResponse)
        -> CredentialResponse
    {
        try CurlTransport().send(
            CredentialRequest(method: "POST", url: url, headers: ["X-A: b"], form: "a=b", reach: reach))
    }

    @Test func `it posts a form and returns status and body`() throws {
        let responder = try Responder { request, line in
            #expect(request.method == "POST" && request.headers["x-a"] == "b")
            line.write(Fixture.answer("403 Forbidden", "no"))
            return true
        }
        let response = try send(responder.endpoint + "/")
        #expect(response == CredentialResponse(status: 403, body: Array("no".utf8)))
    }

    @Test func `redirects are not followed`() throws {
        let responder = try Responder { _, line in
            line.write(Fixture.answer("302 Found", "", headers: "Location: http://127.0.0.1:1/\r\n"))
            return true
        }
        #expect(try send(responder.endpoint + "/").status == 302)
    }

    @Test func `an endless answer ends at its bound`() throws {
        let responder = try Responder { _, line in
            line.write(Fixture.answer("200 OK", String(repeating: "x", count: 100_000)))
            return true
        }
        let error = #expect(throws: NoResponse.self) { try send(responder.endpoint + "/") }
        #expect(error?.reason.contains("larger than") == true)
    }

    @Test(arguments: ["http://169.254.169.254/", "http://100.100.100.200/", "http://[fe80::1]/", "http://0.0.0.0/"])
    func `a service is never at a metadata or link-local address`(url: String) {
        let error = #expect(throws: NoResponse.self) { try send(url) }
        #expect(error?.reason.contains("resolves to") == true, "\(error?.reason ?? "")")
    }
}
