import Foundation
import ObjectStore
import Synchronization

/// What those send that give credentials for a role: STS, the container's endpoint, the instances' metadata services.
let roleTargets: [Target] = [
    Target(name: "role-ram") { exchange($0) { .ramRole(ramRole($0)) } },
    Target(name: "role-iam") { exchange($0) { .iamRole(iamRole($0)) } },
    Target(name: "role-container") { bytes in
        exchange(bytes) { _ in .container(RoleSource.ContainerEndpoint(url: "http://169.254.170.23/v1/credentials")) }
    },
    Target(name: "role-ecs") { exchange($0) { _ in .ecsInstance(RoleSource.InstanceRole(isRequired: true)) } },
    Target(name: "role-ec2") { exchange($0) { _ in .ec2Instance(RoleSource.InstanceRole(isRequired: true)) } },
    Target(name: "source-summary") { bytes in
        guard let summary = try? JSONDecoder().decode(SourceSummary.self, from: Data(bytes)) else { return }
        let again = try? JSONDecoder().decode(SourceSummary.self, from: Data(summary.line.utf8))
        var short = summary
        short.objects = nil
        precondition(again == summary || again == short, "a summary that does not survive its own line")
        precondition(summary.failure == nil || summary.error != nil, "a failure without an error")
    },
]

private let now: Int64 = 1_795_237_200
private let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"

private func endpoint() -> ServiceEndpoint {
    guard let endpoint = try? ServiceEndpoint(parsing: "sts.example", field: "f") else { fatalError("no endpoint") }
    return endpoint
}

private func ramRole(_ token: HandedToken) -> RoleSource.RAMRole {
    RoleSource.RAMRole(roleARN: "acs:ram::1:role/r", providerARN: "p", token: .handed(token), endpoint: endpoint())
}

private func iamRole(_ token: HandedToken) -> RoleSource.IAMRole {
    RoleSource.IAMRole(roleARN: "arn:aws:iam::1:role/r", token: .handed(token), endpoint: endpoint())
}

/// Responds with one part of the input after the other: three digits of a status, then a body.
private final class Script: CredentialTransport {
    private let responses: Mutex<[[UInt8]]>

    init(_ responses: [[UInt8]]) { self.responses = Mutex(responses.reversed()) }

    func send(_ request: CredentialRequest) throws(NoResponse) -> CredentialResponse {
        precondition(request.url.utf8.allSatisfy { (0x21...0x7e).contains($0) }, "a URL that a response wrote into")
        for header in request.headers { precondition(HeaderText.isSafe(header), "a header that breaks the request") }
        let next = responses.withLock { $0.popLast() }
        guard let next, let status = Int(text(next.prefix(3))), (100...599).contains(status) else {
            throw NoResponse("no response")
        }
        return CredentialResponse(status: status, body: Array(next.dropFirst(3)))
    }
}

/// Keys are complete, can be sent and have not ended; an error has a bound and none of the token.
private func exchange(_ bytes: [UInt8], _ source: (HandedToken) -> RoleSource) {
    let handed = HandedToken()
    handed.hand(token)
    let exchange = CredentialExchange(transport: Script(parts(bytes, 3)), now: now)
    do throws(CredentialsProblem) {
        guard let keys = try exchange.fetch(source(handed)) else { return }
        precondition(!keys.keyID.isEmpty && !keys.secret.isEmpty, "a key pair without a half")
        precondition(HeaderText.isSafe(keys.keyID + keys.secret + (keys.token ?? "")), "a key that breaks a header")
        precondition((keys.expiration ?? 0) > now, "keys that have ended")
    } catch {
        let words = Array("\(error) \(error.detail) \(error.code ?? "") \(error.requestID ?? "")".utf8)
        precondition(words.count < 16_384, "an error without a bound")
        for part in token.utf8.split(separator: UInt8(ascii: ".")) {
            precondition(words.firstRange(of: Array(part)) == nil, "an error that holds the token")
        }
    }
}
