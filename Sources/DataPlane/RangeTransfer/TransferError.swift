/// A failure of one HTTP transfer. It says nothing of the service at the other end beyond its host name.
package struct TransferError: Error, Sendable, CustomStringConvertible {
    /// The kinds that callers tell apart.
    package enum Kind: Sendable, Hashable, CaseIterable {
        /// The process has no memory for another transfer.
        case outOfMemory
        /// The connection cannot leave from its source address.
        case sourceAddress
        /// The host resolves to an address that the `AddressGuard` refuses.
        case refusedAddress
        case nameResolution
        case connectionRefused
        /// No connection could be made, whatever the reason.
        case unreachable
        /// The connection broke, or no local port is free.
        case connectionLost
        case connectTimeout
        /// No or too few bytes for `stallTimeout`.
        case stalled
        /// The host's certificate is not trusted.
        case certificate
        /// The host speaks no TLS that this process accepts.
        case tls
        /// The host speaks something else than HTTP.
        case notHTTP
        /// The response is not the requested one: wrong Content-Range, length or head.
        case malformedResponse
        /// The response belongs to another version of the object: another entity tag or size.
        case objectChanged
        /// 503 or 429. Only the unsigned GET of a URL decides by status; a client of the engine does so itself.
        case throttled
        /// Another status than 200 and 206, likewise.
        case refused
        /// The sink threw; `detail` is its error.
        case sink
        case cancelled
        /// The proxy refuses to connect to the host.
        case proxy
    }

    package let kind: Kind
    /// The failure in words, without secrets.
    package let detail: String
    /// The remedy as far as the engine knows it; empty when it lies with the URL, or when only trying again helps.
    package let remedy: String
    /// The HTTP status, nil when there was no response.
    package let status: Int?
    /// The response's head, where the failure lies in the response.
    package let head: ResponseHead?

    /// No connection was made over which the request could be sent.
    package var isBeforeRequest = false

    package init(_ kind: Kind, detail: String, remedy: String = "", status: Int? = nil, head: ResponseHead? = nil) {
        self.kind = kind
        self.detail = detail
        self.remedy = remedy
        self.status = status ?? head?.status
        self.head = head
    }

    /// The failure and its remedy, in one line.
    package var description: String { remedy.isEmpty ? detail : "\(detail); \(remedy)" }
}
