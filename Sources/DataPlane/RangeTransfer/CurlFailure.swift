import CurlShim
import Glibc
import TLSShim

/// libcurl's verdict on a transfer, in our words.
struct CurlFailure {
    let code: CURLcode
    /// The text that libcurl wrote into its error buffer.
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
    /// Through which the host was to be reached.
    var proxy: StoreProxy?
    /// The status of the proxy's answer to CONNECT; 0: it gave none.
    var connectStatus = 0

    var error: TransferError {
        var error = told
        error.isBeforeRequest = !requestWasSent
        return error
    }

    private var told: TransferError {
        let host = url.split(separator: "/").dropFirst().first.map(String.init) ?? "the host"
        let reason = text.isEmpty ? String(cString: curl_easy_strerror(code)) : text
        if let proxy, let error = refused(by: proxy, host, reason) { return error }
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST: return unresolved(host)
        // Also where another address was tried and could not be reached: the refused one is what the person can mend.
        case CURLE_COULDNT_CONNECT where refusedAddress != nil,
            CURLE_OPERATION_TIMEDOUT where refusedAddress != nil && !requestWasSent:
            return TransferError(
                .refusedAddress,
                detail: "\(host) resolves to \(refusedAddress ?? ""); a model may not be read from there")
        case CURLE_COULDNT_CONNECT: return unconnected(host, reason)
        case CURLE_INTERFACE_FAILED: return unbound(reason)
        case CURLE_OPERATION_TIMEDOUT:
            return requestWasSent
                ? TransferError(.stalled, detail: "\(host) sends too slowly: \(reason)")
                : TransferError(
                    .connectTimeout, detail: "\(host) did not answer in time: \(reason)",
                    remedy: "check the network to it")
        case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_CERTPROBLEM:
            return TransferError(
                .certificate, detail: "the certificate of \(host) is not trusted: \(reason)",
                remedy: Self.trustRemedy(reason, isProxied: proxy != nil))
        // Read for each connection; a file that is written anew is empty for a moment.
        case CURLE_SSL_CACERT_BADFILE:
            return TransferError(
                .connectionLost, detail: "the certificate authorities cannot be read: \(reason)",
                remedy: "check SSL_CERT_FILE and SSL_CERT_DIR")
        case CURLE_SSL_CONNECT_ERROR where isMismatch:
            return TransferError(.tls, detail: "no TLS with \(host): \(reason)")
        case CURLE_PARTIAL_FILE:
            return TransferError(.malformedResponse, detail: "\(host) closed before the answer's end: \(reason)")
        // libcurl reports a header line beyond its own bound (100 KiB) as a lack of memory.
        case CURLE_OUT_OF_MEMORY where requestWasSent && !headHasEnded:
            return TransferError(.malformedResponse, detail: "\(host) sent an oversized response head")
        case CURLE_OUT_OF_MEMORY:
            return TransferError(.outOfMemory, detail: "out of memory", remedy: "give the process more")
        case CURLE_WEIRD_SERVER_REPLY, CURLE_UNSUPPORTED_PROTOCOL, CURLE_BAD_CONTENT_ENCODING:
            return TransferError(.notHTTP, detail: "\(host) does not speak HTTP: \(reason)")
        default: return TransferError(.connectionLost, detail: "the connection to \(host) broke: \(reason)")
        }
    }

    /// Whether TLS failed for good, and not because the connection broke. OpenSSL's number stands in the text
    /// ("error:0A00010B:SSL routines::wrong version number") where the socket is not the reason.
    private var isMismatch: Bool {
        guard let mark = text.firstRange(of: "error:") else { return false }
        let digits = text[mark.upperBound...].prefix { $0.isHexDigit }
        return mc_tls_is_mismatch(UInt(digits, radix: 16) ?? 0)
    }

    /// The failures that are the proxy's own; nil: the proxy did its part.
    private func refused(by proxy: StoreProxy, _ host: String, _ reason: String) -> TransferError? {
        switch code {
        case CURLE_COULDNT_RESOLVE_PROXY: return unresolved("the proxy \(proxy)", "check \(proxy.field) and DNS")
        case CURLE_COULDNT_CONNECT where connectStatus == 0: return unconnected("the proxy \(proxy)", reason)
        case CURLE_PROXY:
            return TransferError(
                .connectionLost, detail: "the proxy \(proxy) does not connect to \(host): \(reason)",
                remedy: "check \(proxy.field), or name the host in NO_PROXY")
        default: break
        }
        switch connectStatus {
        case 407:
            let problem = proxy.user == nil ? "wants a name and a password" : "refuses the name or password"
            return TransferError(
                .proxy, detail: "the proxy \(proxy) \(problem)",
                remedy: "write \(proxy.field)=http://name:password@host:port, special characters as %XX")
        case 400..<500:
            return TransferError(
                .proxy, detail: "the proxy \(proxy) does not let us connect to \(host) (HTTP \(connectStatus))",
                remedy: "allow the host there, or name it in NO_PROXY")
        case 300..., 100..<200:
            return TransferError(
                .connectionLost, detail: "the proxy \(proxy) cannot reach \(host) (HTTP \(connectStatus))",
                remedy: "check the host's name and port, or name it in NO_PROXY")
        default: return nil
        }
    }

    private func unresolved(_ name: String, _ remedy: String = "") -> TransferError {
        let family =
            source.map { " to an \($0.contains(":") ? "IPv6" : "IPv4") address, as its source \($0) needs" } ?? ""
        return TransferError(.nameResolution, detail: "\(name) cannot be resolved\(family)", remedy: remedy)
    }

    /// OpenSSL's words tell a foreign name from an unknown authority.
    private static func trustRemedy(_ reason: String, isProxied: Bool) -> String {
        if reason.contains("subject name") { return "use the host's own name, which its certificate has" }
        return "set SSL_CERT_FILE to the PEM file of the authority that signed it"
            + (isProxied ? ", which is the proxy's where the proxy opens TLS" : "")
    }

    private func unconnected(_ host: String, _ reason: String) -> TransferError {
        // Without a proxy the remedy lies with the URL, whose setting the caller knows.
        let remedy = proxy.map { "check \($0.field) and the proxy's port" } ?? ""
        let from = source.map { " from \($0)" } ?? ""
        switch systemError {
        case ECONNREFUSED:
            return TransferError(
                .connectionRefused, detail: "\(host) refuses connections: nothing listens at that port",
                remedy: remedy)
        case ENETUNREACH, EHOSTUNREACH, ENETDOWN, EHOSTDOWN:
            return TransferError(
                .connectionLost, detail: "no network reaches \(host)\(from): \(Self.words(systemError))",
                remedy: "check the machine's routes, firewall and HTTP_SOURCE_IP")
        case ETIMEDOUT:
            return TransferError(
                .connectTimeout, detail: "\(host) did not answer in time: \(reason)", remedy: "check the network to it")
        case EADDRNOTAVAIL, EADDRINUSE: return unbound(reason)
        // A source without a route to the host (a loopback address to the outside, say).
        case EINVAL where source != nil: return unbound(reason)
        default:
            let words = systemError == 0 ? reason : "\(reason) (\(Self.words(systemError)))"
            return TransferError(.unreachable, detail: "\(host) cannot be reached\(from): \(words)", remedy: remedy)
        }
    }

    /// The address may be gone, or all its ports taken: the system's error number tells.
    private func unbound(_ reason: String) -> TransferError {
        let words = systemError == 0 ? reason : "\(reason) (\(Self.words(systemError)))"
        guard let source else {
            return TransferError(
                .connectionLost, detail: "no local port is free: \(words)", remedy: "wait for connections to close")
        }
        if systemError == EADDRINUSE {
            return TransferError(
                .connectionLost, detail: "cannot leave from source address \(source): no port is free: \(words)",
                remedy: "name more addresses in HTTP_SOURCE_IP")
        }
        return TransferError(
            .sourceAddress, detail: "cannot leave from source address \(source): \(words)",
            remedy: "name addresses of this machine in HTTP_SOURCE_IP that have a route to the host")
    }

    private static func words(_ number: Int32) -> String { String(cString: strerror(number)) }
}
