internal import CurlShim
internal import Glibc
internal import StoreHost
internal import TextCoding

/// One small HTTP request for credentials.
package struct CredentialRequest: Sendable, Hashable {
    /// The bounds on an exchange, and where it may go.
    package enum Reach: Sendable, Hashable {
        /// A fixed address of this machine's network: an answer comes within milliseconds or never.
        case metadata
        /// A service by its name. Link-local and metadata addresses are refused, whatever the name resolves to.
        case service
    }

    package var method: String
    package var url: String
    package var headers: [String] = []
    /// Form fields, encoded; nil: no body.
    package var form: String?
    package var reach: Reach
    /// PEM file of trusted authorities; nil: the process's.
    package var authorityFile: String?

    package init(
        method: String, url: String, headers: [String] = [], form: String? = nil, reach: Reach,
        authorityFile: String? = nil
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.form = form
        self.reach = reach
        self.authorityFile = authorityFile
    }
}

package struct CredentialResponse: Sendable, Hashable {
    package var status: Int
    package var body: [UInt8]

    package init(status: Int, body: [UInt8]) {
        self.status = status
        self.body = body
    }
}

/// No response came, for a reason in words.
package struct NoResponse: Error, Hashable {
    package let reason: String
    package init(_ reason: String) { self.reason = reason }
}

/// Carries requests for credentials out. Blocks for at most the time that the request's reach allows.
package protocol CredentialTransport: Sendable {
    func send(_ request: CredentialRequest) throws(NoResponse) -> CredentialResponse
}

/// Over libcurl: no proxy, no redirect, a bounded answer, and a connection of its own for each request.
///
/// A proxy would see tokens and keys, and from a proxy's place a metadata address is another machine's.
package struct CurlTransport: CredentialTransport {
    /// Answers have about two kilobytes.
    static let maximumBytes = 64 << 10

    /// libcurl counts its initializations; each module that uses it has one.
    private static let isInitialized = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    package init() {}

    /// The state of one exchange, which its callbacks touch on its thread alone.
    private final class Box {
        var body: [UInt8] = []
        var refused: String?
    }

    package func send(_ request: CredentialRequest) throws(NoResponse) -> CredentialResponse {
        guard Self.isInitialized, let handle = curl_easy_init() else { throw NoResponse("out of memory") }
        let box = Box()
        let errorText = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))
        errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        var lines: UnsafeMutablePointer<curl_slist>?
        defer {
            curl_easy_cleanup(handle)
            curl_slist_free_all(lines)
            errorText.deallocate()
        }
        // libcurl adds these two of its own accord.
        for line in request.headers + ["Expect:"] + (request.form == nil ? ["Content-Type:"] : []) {
            lines = curl_slist_append(lines, line)
        }
        mc_curl_set_list(handle, CURLOPT_HTTPHEADER, lines)
        mc_curl_set_pointer(handle, CURLOPT_ERRORBUFFER, errorText)
        Self.prepare(handle, request)
        let result = withExtendedLifetime(box) {
            Self.collect(handle, into: box, guarded: request.reach == .service && !Self.isLocal(request.url))
            return curl_easy_perform(handle)
        }
        guard result == CURLE_OK else {
            if let refused = box.refused { throw NoResponse("it resolves to \(refused)") }
            if box.body.count > Self.maximumBytes {
                throw NoResponse("its answer is larger than \(Self.maximumBytes) bytes")
            }
            let text = String(cString: errorText)
            throw NoResponse((text.isEmpty ? String(cString: curl_easy_strerror(result)) : text).oneLine)
        }
        return CredentialResponse(status: Int(mc_curl_long(handle, CURLINFO_RESPONSE_CODE)), body: box.body)
    }

    private static func isLocal(_ url: String) -> Bool {
        MetadataAddress.isLoopback(url.drop { $0 != "/" }.dropFirst(2).prefix { $0 != "/" })
    }

    private static func prepare(_ handle: UnsafeMutableRawPointer, _ request: CredentialRequest) {
        func set(_ option: CURLoption, _ value: Int) { mc_curl_set_long(handle, option, value) }
        func set(_ option: CURLoption, _ value: String) { mc_curl_set_string(handle, option, value) }
        let isNear = request.reach == .metadata
        set(CURLOPT_URL, request.url)
        if request.method != "GET" {
            set(CURLOPT_COPYPOSTFIELDS, request.form ?? "")
            set(CURLOPT_CUSTOMREQUEST, request.method)
        }
        set(CURLOPT_PROTOCOLS_STR, "http,https")
        set(CURLOPT_FOLLOWLOCATION, 0)
        set(CURLOPT_PROXY, "")
        set(CURLOPT_NOSIGNAL, 1)
        set(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1)
        set(CURLOPT_CONNECTTIMEOUT_MS, isNear ? 1000 : 5000)
        set(CURLOPT_TIMEOUT_MS, isNear ? 3000 : 15_000)
        set(CURLOPT_SSL_VERIFYPEER, 1)
        set(CURLOPT_SSL_VERIFYHOST, 2)
        set(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        let fromProcess = getenv("SSL_CERT_FILE").map { String(cString: $0) }
        if let file = request.authorityFile ?? fromProcess, !file.isEmpty { set(CURLOPT_CAINFO, file) }
    }

    private static func collect(_ handle: UnsafeMutableRawPointer, into box: Box, guarded: Bool) {
        let context = Unmanaged.passUnretained(box).toOpaque()
        mc_curl_set_pointer(handle, CURLOPT_WRITEDATA, context)
        mc_curl_set_bytes(handle, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
            guard let context else { return 0 }
            let box = Unmanaged<Box>.fromOpaque(context).takeUnretainedValue()
            box.body.append(contentsOf: UnsafeRawBufferPointer(start: bytes, count: size * count))
            return box.body.count > CurlTransport.maximumBytes ? 0 : size * count
        }
        guard guarded else { return }
        mc_curl_set_open_socket(
            handle,
            { context, _, address in
                guard let context, let address, let offset = MemoryLayout<curl_sockaddr>.offset(of: \.addr) else {
                    return -1
                }
                guard let problem = CurlTransport.problem(with: UnsafeRawPointer(address) + offset) else {
                    return mc_curl_socket(address)
                }
                Unmanaged<Box>.fromOpaque(context).takeUnretainedValue().refused = problem
                return -1
            }, context)
    }

    /// Why a service may not be at this socket address.
    private static func problem(with name: UnsafeRawPointer) -> String? {
        let bytes: [UInt8]
        switch Int32(name.loadUnaligned(as: sockaddr.self).sa_family) {
        case AF_INET: bytes = withUnsafeBytes(of: name.loadUnaligned(as: sockaddr_in.self).sin_addr) { Array($0) }
        case AF_INET6: bytes = withUnsafeBytes(of: name.loadUnaligned(as: sockaddr_in6.self).sin6_addr) { Array($0) }
        default: return "an address that no service has"
        }
        return StoreHost.problem(withAddress: bytes, allowsLoopback: false).map { "an address that \($0)" }
    }
}
