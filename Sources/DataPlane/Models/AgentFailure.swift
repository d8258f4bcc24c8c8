package import AgentAPI
internal import ChunkStore
package import ObjectStore
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

    /// The kind of error that the store returned; nil: no request to the store failed.
    let storeKind: StoreError.Kind?

    package init(_ code: Code, _ message: String, reason: AgentErrorCode? = nil) {
        self.init(code, message, reason: reason ?? AgentErrorCode(code), kind: nil)
    }

    private init(_ code: Code, _ message: String, reason: AgentErrorCode, kind: StoreError.Kind?) {
        self.code = code
        self.message = message
        self.reason = reason
        storeKind = kind
    }

    package var description: String { message }
}

extension AgentFailure {
    /// Translates a refusal of the store into the terms of agent_wire.h.
    package init(_ error: StoreError) {
        let code: Code =
            switch error.kind {
            case .settings: .settings
            case .wrongKey, .wrongSecret, .accessDenied, .wrongRegion, .clockSkew, .expiredToken, .unreadable,
                .credentialsRefused:
                .denied
            case .noSuchBucket, .noSuchKey: .notFound
            case _ where error.isRetryable: .unreachable
            case .tls: .unreachable
            default: .internal
            }
        self.init(code, "\(error)", reason: AgentErrorCode(error.kind), kind: error.kind)
    }
}

extension AgentFailure {
    /// Translates a refusal of the cache's medium.
    init(_ error: ChunkStoreError) {
        let code: Code =
            switch error {
            case .capacity, .mediumFull: .capacity
            default: .internal
            }
        self.init(code, "\(error)", reason: AgentErrorCode(.cache(error)))
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
        case .wrongKey, .wrongSecret, .accessDenied, .expiredToken, .wrongRegion, .credentialsRefused:
            self = .accessDenied
        case .unreadable: self = .objectsUnreadable
        case .noSuchBucket: self = .noSuchBucket
        case .clockSkew: self = .clockSkewed
        case .nameResolution, .connectionRefused, .connectionLost, .connectTimeout, .stalled, .tls,
            .credentialsUnavailable:
            self = .endpointUnreachable
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
