package import RangeTransfer

extension StoreError {
    /// A transfer's failure as a failure of the store.
    ///
    /// - Parameter remedy: nil: the engine's own, else the one for a wrong setting of the store.
    package init(_ error: TransferError, remedy: String? = nil) {
        let known = error.remedy.isEmpty ? Self.remedy(for: error.kind) : error.remedy
        self.init(
            Kind(error.kind), detail: error.detail, remedy: remedy ?? known, status: error.status,
            requestID: error.head?.requestID, retryAfter: error.head?.storeDelay,
            isBeforeRequest: error.isBeforeRequest)
    }

    private static func remedy(for kind: TransferError.Kind) -> String {
        switch kind {
        case .nameResolution: "check OSS_ENDPOINT, the bucket's name and DNS"
        case .refusedAddress: "name the store's own endpoint in OSS_ENDPOINT"
        case .connectionRefused: "check OSS_ENDPOINT with its port"
        case .unreachable: "check OSS_ENDPOINT with its port, and the network"
        case .tls: "write http:// in OSS_ENDPOINT if the store speaks plain HTTP"
        case .notHTTP: "check OSS_ENDPOINT"
        case .objectChanged: "open the model again to read the new version"
        case .outOfMemory, .sourceAddress, .connectionLost, .connectTimeout, .stalled, .certificate, .malformedResponse,
            .throttled, .refused, .sink, .cancelled, .proxy:
            ""
        }
    }
}

extension StoreError.Kind {
    fileprivate init(_ kind: TransferError.Kind) {
        self =
            switch kind {
            case .outOfMemory, .sourceAddress, .refusedAddress, .proxy: .settings
            case .nameResolution: .nameResolution
            case .connectionRefused: .connectionRefused
            case .unreachable, .connectionLost: .connectionLost
            case .connectTimeout: .connectTimeout
            case .stalled: .stalled
            case .certificate, .tls: .tls
            case .notHTTP, .malformedResponse: .malformedAnswer
            case .objectChanged: .objectChanged
            case .throttled: .throttled
            case .refused: .refused
            case .sink: .sink
            case .cancelled: .cancelled
            }
    }
}
