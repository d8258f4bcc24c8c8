internal import FoundationEssentials
package import LogOutput
internal import ObjectStore
internal import Synchronization

/// One JSON line for each thing that happened to a model: `auditPath` of the configuration. No secrets; of an access
/// key its first four characters.
///
/// Events: `open` (a model is new here), `filled` (complete and verified), `failed` (its fill ended with an error),
/// `unfinished` (its fill was stopped), `update` (objects came, went or changed at the source: `change` names them),
/// `evict`, `refused` (a caller did not get the model: `reason` says why). `principal` is the party as which the store
/// was asked, `until` when its credentials of that moment end.
package final class AuditLog: Sendable {
    /// One event of one model.
    package struct Entry: Sendable {
        package var event: String
        package var model: String
        package var source: String
        package var bytes: UInt64 = 0
        package var change: String?
        package var reason: String?
        package var party: Party?

        package init(_ event: String, model: String, source: String) {
            self.event = event
            self.model = model
            self.source = source
        }
    }

    /// The party as which a store was asked, at one moment. It holds no credentials.
    package struct Party: Sendable, Hashable {
        let principal: String
        let until: Int64?

        init(_ credentials: CredentialsProvider) {
            principal = "\(credentials.principal)"
            until = credentials.expiration
        }
    }

    private let file: LineSink?
    private let refusals = Mutex(EventPace<Refusal>(mostKeys: 256))

    /// - Parameter file: appended to; nil: nothing is recorded.
    package init(_ file: LineSink?) { self.file = file }

    package func record(_ entry: Entry) {
        guard let file, let data = try? JSONEncoder().encode(Line(entry)) else { return }
        file.write(String(decoding: data, as: UTF8.self))
    }

    /// A caller did not get the model. One that asks again and again is recorded now and then (``EventPace``).
    package func refused(model: String, source: String, _ party: Party?, _ failure: AgentFailure) {
        let refusal = Refusal(model: model, principal: party?.principal, code: failure.code)
        guard refusals.withLock({ $0.admits(refusal) }) != nil else { return }
        var entry = Entry("refused", model: model, source: String(source.prefix(Self.longest)))
        entry.party = party
        entry.reason = String(failure.message.prefix(Self.longest))
        record(entry)
    }

    /// Characters of what a caller or a store wrote.
    private static let longest = 500

    /// Another reason of one model and caller is still told.
    private struct Refusal: Hashable {
        let model: String
        let principal: String?
        /// Not the message: a store's has the number of each request.
        let code: AgentFailure.Code
    }

    private struct Line: Encodable {
        let time = Date.now.ISO8601Format()
        let event: String
        let model: String
        let source: String
        let bytes: UInt64
        let change: String?
        let principal: String?
        let until: String?
        let reason: String?

        init(_ entry: Entry) {
            event = entry.event
            model = entry.model
            source = entry.source
            bytes = entry.bytes
            change = entry.change
            principal = entry.party?.principal
            until = entry.party?.until.map { Date(timeIntervalSince1970: Double($0)).ISO8601Format() }
            reason = entry.reason
        }
    }
}
