import CurlShim
import Glibc

/// libcurl's verdict on a transfer, in our words.
struct CurlFailure {
    let code: CURLcode
    /// What libcurl wrote into its error buffer.
    let text: String
    /// The system's error number of a connection that could not be made, 0 when unknown.
    let systemError: Int32
    /// Whether the connection stood (TLS included) and the request went out.
    let requestWasSent: Bool
    let headHasEnded: Bool
    let url: String
    /// The address that the connection was to leave from.
    let source: String?
    /// An address of the host that may not be connected to, and why.
    var refusedAddress: String?

    var error: StoreError {
        let host = url.split(separator: "/").dropFirst().first.map(String.init) ?? "the store"
        let reason = text.isEmpty ? String(cString: curl_easy_strerror(code)) : text
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY:
            let family = source.map { " to an \($0.contains(":") ? "IPv6" : "IPv4") address, as its source \($0) needs" } ?? ""
            return StoreError(
                .nameResolution, detail: "\(host) cannot be resolved\(family)",
                remedy: "check OSS_ENDPOINT, the bucket's name and DNS")
        // Also where another address was tried and could not be reached: the refused one is what the person can mend.
        case CURLE_COULDNT_CONNECT where refusedAddress != nil, CURLE_OPERATION_TIMEDOUT where refusedAddress != nil && !requestWasSent:
            return StoreError(
                .settings, detail: "\(host) resolves to \(refusedAddress ?? ""); a model may not be read from there",
                remedy: "name the store's own endpoint in OSS_ENDPOINT")
        case CURLE_COULDNT_CONNECT: return unconnected(host, reason)
        case CURLE_INTERFACE_FAILED: return unbound(reason)
        case CURLE_OPERATION_TIMEDOUT:
            return requestWasSent
                ? StoreError(.stalled, detail: "\(host) sends too slowly: \(reason)")
                : StoreError(.connectTimeout, detail: "\(host) did not answer in time: \(reason)", remedy: "check the network to it")
        case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_CERTPROBLEM:
            return StoreError(
                .tls, detail: "the certificate of \(host) is not trusted: \(reason)",
                remedy: "set SSL_CERT_FILE to the authority's PEM file, or use the endpoint's own name")
        case CURLE_SSL_CONNECT_ERROR:
            return StoreError(
                .tls, detail: "no TLS with \(host): \(reason)",
                remedy: "write http:// in OSS_ENDPOINT if the store speaks plain HTTP")
        case CURLE_PARTIAL_FILE:
            return StoreError(.malformedAnswer, detail: "\(host) closed before the answer's end: \(reason)")
        // libcurl reports a header line beyond its own bound (100 KiB) as a lack of memory.
        case CURLE_OUT_OF_MEMORY where requestWasSent && !headHasEnded:
            return StoreError(.malformedAnswer, detail: "\(host) sent an oversized answer head")
        case CURLE_OUT_OF_MEMORY: return StoreError(.settings, detail: "out of memory", remedy: "give the agent more")
        case CURLE_WEIRD_SERVER_REPLY, CURLE_UNSUPPORTED_PROTOCOL, CURLE_BAD_CONTENT_ENCODING:
            return StoreError(
                .malformedAnswer, detail: "\(host) does not speak HTTP: \(reason)", remedy: "check OSS_ENDPOINT")
        default: return StoreError(.connectionLost, detail: "the connection to \(host) broke: \(reason)")
        }
    }

    private func unconnected(_ host: String, _ reason: String) -> StoreError {
        let from = source.map { " from \($0)" } ?? ""
        switch systemError {
        case ECONNREFUSED:
            return StoreError(
                .connectionRefused, detail: "\(host) refuses connections: nothing listens at that port",
                remedy: "check OSS_ENDPOINT with its port")
        case ENETUNREACH, EHOSTUNREACH, ENETDOWN, EHOSTDOWN:
            return StoreError(
                .connectionLost, detail: "no network reaches \(host)\(from): \(Self.words(systemError))",
                remedy: "check the machine's routes, firewall and HTTP_SOURCE_IP")
        case ETIMEDOUT:
            return StoreError(.connectTimeout, detail: "\(host) did not answer in time: \(reason)", remedy: "check the network to it")
        case EADDRNOTAVAIL, EADDRINUSE: return unbound(reason)
        // A source without a route to the host (a loopback address to the outside, say).
        case EINVAL where source != nil: return unbound(reason)
        default:
            let words = systemError == 0 ? reason : "\(reason) (\(Self.words(systemError)))"
            return StoreError(
                .connectionLost, detail: "\(host) cannot be reached\(from): \(words)",
                remedy: "check OSS_ENDPOINT with its port, and the network")
        }
    }

    /// The address may be gone, or all its ports taken: the system's error number tells.
    private func unbound(_ reason: String) -> StoreError {
        let words = systemError == 0 ? reason : "\(reason) (\(Self.words(systemError)))"
        guard let source else {
            return StoreError(.connectionLost, detail: "no local port is free: \(words)", remedy: "wait for connections to close")
        }
        if systemError == EADDRINUSE {
            return StoreError(
                .connectionLost, detail: "cannot leave from source address \(source): no port is free: \(words)",
                remedy: "name more addresses in HTTP_SOURCE_IP")
        }
        return StoreError(
            .settings, detail: "cannot leave from source address \(source): \(words)",
            remedy: "name addresses of this machine in HTTP_SOURCE_IP that have a route to the store")
    }

    private static func words(_ number: Int32) -> String { String(cString: strerror(number)) }
}
