import Crypto
import DevStore
import Foundation
import TestSupport
import Testing

private let now: Int64 = 1_795_237_200

/// A cluster's key, and tokens that it signs (RFC 7515, ES256).
private struct Cluster {
    let key = P256.Signing.PrivateKey()

    static func base64url(_ data: some DataProtocol) -> String {
        Data(data).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    var keySet: String {
        let point = key.publicKey.rawRepresentation
        return
            #"{"keys":[{"kty":"EC","crv":"P-256","kid":"k","x":"\#(Self.base64url(point.prefix(32)))","y":"\#(Self.base64url(point.suffix(32)))"}]}"#
    }

    func token(
        issuer: String = "https://cluster", audience: String = "sts.aliyuncs.com",
        subject: String = "system:serviceaccount:team:warm",
        lifetime: Int64 = 600, algorithm: String = "ES256"
    ) throws -> String {
        let head = Self.base64url(Data(#"{"alg":"\#(algorithm)","kid":"k"}"#.utf8))
        let claims = #"{"iss":"\#(issuer)","aud":["\#(audience)"],"sub":"\#(subject)","exp":\#(now + lifetime)}"#
        let signed = "\(head).\(Self.base64url(Data(claims.utf8)))"
        return "\(signed).\(Self.base64url(try key.signature(for: Data(signed.utf8)).rawRepresentation))"
    }
}

@Suite struct IdentityTests {
    private let cluster = Cluster()
    private let folder: URL
    private let service = StoreService(StoreConfiguration())

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "identity-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let keys = folder.appending(path: "jwks.json").path
        try cluster.keySet.write(toFile: keys, atomically: true, encoding: .utf8)
        let plan = """
            {"keysFile":"\(keys)","issuer":"https://cluster","audiences":["sts.aliyuncs.com","sts.amazonaws.com"],
            "roles":[{"arn":"acs:ram::1:role/models","provider":"acs:ram::1:oidc-provider/ack",
            "subjects":["system:serviceaccount:team:warm"]}],
            "node":{"role":"node-role"},"container":{"authorization":"secret"}}
            """
        service.identity.plan = try JSONDecoder().decode(IdentityPlan.self, from: Data(plan.utf8))
    }

    private func ask(
        _ method: String, _ target: String, _ headers: [String: String] = [:], body: String = ""
    ) -> IdentityService.Response {
        service.identity.respond(.init(method: method, target: target, headers: headers, body: body), now: now)
    }

    private func assume(
        _ token: String, role: String = "acs:ram::1:role/models", provider: String = "acs:ram::1:oidc-provider/ack",
        seconds: Int = 900,
        action: String = "AssumeRoleWithOIDC"
    ) -> IdentityService.Response {
        let name = action == "AssumeRoleWithOIDC" ? "OIDCToken" : "WebIdentityToken"
        return ask(
            "POST", "/?Action=\(action)&Version=2015-04-01",
            body:
                "RoleArn=\(role)&OIDCProviderArn=\(provider)&\(name)=\(token)&RoleSessionName=s&DurationSeconds=\(seconds)"
        )
    }

    @Test func `a right token gives keys for as long as asked`() throws {
        let response = assume(try cluster.token())
        #expect(response.status == 200)
        let key = try #require(service.identity.issued.first)
        #expect(key.expiry == now + 900 && key.token != nil)
        #expect(response.text.contains(key.id) && response.text.contains("2026-11-21T05:15:00Z"))
        #expect(service.identity.counts["AssumeRoleWithOIDC"] == 1)
    }

    @Test func `each check has its own refusal`() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let right = try cluster.token()
        let other = try Cluster().token()
        for (response, code) in [
            (assume("nonsense"), "AuthenticationFail.OIDCToken.Invalid"),
            (assume(other), "OIDCToken.SignatureInvalid"),
            (assume(try cluster.token(algorithm: "none")), "OIDCToken.SignatureInvalid"),
            (assume(try cluster.token(issuer: "https://other")), "OIDCToken.IssuerMismatch"),
            (assume(try cluster.token(audience: "modelcache.io")), "OIDCToken.AudienceNotMatch"),
            (assume(try cluster.token(lifetime: 0)), "OIDCToken.Expired"),
            (assume(try cluster.token(subject: "system:serviceaccount:other:warm")), "AuthenticationFail.NoPermission"),
            (assume(right, role: "acs:ram::1:role/none"), "EntityNotExist.Role"),
            (assume(right, provider: "acs:ram::1:oidc-provider/x"), "EntityNotExist.OIDCProvider"),
            (assume(right, seconds: 899), "InvalidParameter.DurationSeconds"),
            (assume(right, seconds: 3601), "InvalidParameter.DurationSeconds"),
        ] {
            #expect(response.status >= 400 && response.text.contains(code), "\(code): \(response.text)")
        }
        #expect(service.identity.issued.isEmpty)
    }

    @Test func `AWS's action answers in XML`() throws {
        let token = try cluster.token(audience: "sts.amazonaws.com")
        let right = assume(token, action: "AssumeRoleWithWebIdentity")
        #expect(right.status == 200 && right.text.contains("<SessionToken>"))
        let wrong = assume("x.y.z", action: "AssumeRoleWithWebIdentity")
        #expect(wrong.status == 400 && wrong.text.contains("<Code>InvalidIdentityToken</Code>"))
    }

    @Test func `metadata services want their session token where they are hardened`() throws {
        let path = "/latest/meta-data/ram/security-credentials/"
        #expect(ask("GET", path).text == "node-role")
        #expect(ask("GET", "/latest/meta-data/iam/security-credentials/").status == 401, "EC2 always is")
        service.identity.plan?.node?.hardened = true
        #expect(ask("GET", path).status == 403)
        let session = ask("PUT", "/latest/api/token", ["x-aliyun-ecs-metadata-token-ttl-seconds": "60"])
        #expect(ask("GET", path, ["x-aliyun-ecs-metadata-token": session.text]).text == "node-role")
        #expect(ask("GET", path, ["x-aliyun-ecs-metadata-token": "forged"]).status == 403)
        #expect(ask("GET", path + "other", ["x-aliyun-ecs-metadata-token": session.text]).status == 404)
        #expect(ask("PUT", "/latest/api/token").status == 400)
    }

    @Test func `a container shows its authorization`() throws {
        #expect(ask("GET", "/v1/credentials").status == 403)
        #expect(ask("GET", "/v1/credentials", ["authorization": "secret"]).text.contains("SecretAccessKey"))
    }

    @Test func `a withdrawn role gives nothing, and revoking ends what it gave`() throws {
        let token = try cluster.token()
        _ = assume(token)
        service.identity.plan?.roles = []
        #expect(assume(token).text.contains("EntityNotExist.Role"))
        #expect(service.identity.issued.count == 1)
        var plan = try #require(service.identity.plan)
        plan.revokes = true
        service.identity.plan = plan
        #expect(service.identity.issued.isEmpty)
    }
}
