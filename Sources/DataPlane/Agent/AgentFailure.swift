internal import ObjectStore

/// Why the agent cannot give a client what it asks for: the body of `MC_ERROR`.
package struct AgentFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// The codes of agent_wire.h.
    package enum Code: UInt32, Sendable {
        case settings = 1
        case denied = 2
        case notFound = 3
        case unreachable = 4
        case capacity = 5
        case `protocol` = 6
        case `internal` = 7
    }

    package let code: Code
    /// One line: what is wrong and the remedy; no secret.
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}

extension AgentFailure {
    /// What the store refused, in the terms of agent_wire.h.
    init(_ error: StoreError) {
        let code: Code =
            switch error.kind {
            case .settings: .settings
            case .wrongKey, .wrongSecret, .accessDenied, .wrongRegion, .clockSkew, .expiredToken: .denied
            case .noSuchBucket, .noSuchKey: .notFound
            case _ where error.isRetryable: .unreachable
            case .tls: .unreachable
            default: .internal
            }
        self.init(code, "\(error)")
    }
}
