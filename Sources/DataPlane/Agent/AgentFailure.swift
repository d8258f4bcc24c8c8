package import AgentAPI
internal import ChunkStore
internal import ObjectStore
internal import Transfer

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

    /// The same in the words of a ModelCache's conditions.
    package let reason: AgentErrorCode

    package init(_ code: Code, _ message: String, reason: AgentErrorCode? = nil) {
        self.code = code
        self.message = message
        self.reason = reason ?? AgentErrorCode(code)
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
        self.init(code, "\(error)", reason: AgentErrorCode(error.kind))
    }
}

extension AgentErrorCode {
    init(_ code: AgentFailure.Code) {
        switch code {
        case .settings: self = .invalidSpec
        case .denied: self = .accessDenied
        case .notFound: self = .sourceEmpty
        case .unreachable: self = .endpointUnreachable
        case .capacity: self = .insufficientCapacity
        case .protocol, .internal: self = .storeError
        }
    }

    init(_ kind: StoreError.Kind) {
        switch kind {
        case .settings: self = .invalidSpec
        case .wrongKey, .wrongSecret, .accessDenied, .expiredToken, .wrongRegion: self = .accessDenied
        case .noSuchBucket: self = .noSuchBucket
        case .clockSkew: self = .clockSkewed
        case .nameResolution, .connectionRefused, .connectionLost, .connectTimeout, .stalled, .tls: self = .endpointUnreachable
        case .objectChanged: self = .contentMismatch
        case .noSuchKey, .throttled, .server, .refused, .malformedAnswer, .sink, .cancelled: self = .storeError
        }
    }

    init(_ failure: FillFailure?) {
        switch failure {
        case .store(let kind): self.init(kind)
        case .cache(.mediumFull), .cache(.capacity): self = .insufficientCapacity
        case .cache: self = .volumeFailed
        case .noBytes: self = .endpointUnreachable
        case .wrongContent: self = .contentMismatch
        case nil: self = .storeError
        }
    }
}
