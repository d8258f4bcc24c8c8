public import FoundationEssentials
package import NIOSSL
internal import Synchronization
internal import X509

/// The certificate that new connections get. Connections that are open keep theirs: a change drops none.
public final class ServingCertificate: Sendable {
    private struct State {
        var context: NIOSSLContext?
        var chain: [UInt8] = []
        var key: [UInt8] = []
        var notAfter: Date?
    }

    private let state = Mutex(State())

    public init() {}

    package var context: NIOSSLContext? { state.withLock { $0.context } }

    public var isLoaded: Bool { context != nil }

    /// One is loaded that has not expired.
    public var isValid: Bool { notAfter.map { $0 > .now } ?? false }

    /// Whether new connections get this certificate.
    public func shows(_ chain: [UInt8]) -> Bool { state.withLock { $0.context != nil && $0.chain == chain } }

    /// When the loaded certificate expires.
    public var notAfter: Date? { state.withLock { $0.notAfter } }

    /// Takes a certificate with its chain and its key, both PEM. The one before stays when this fails.
    ///
    /// - Returns: false when it is the one loaded already.
    /// - Throws: ``UnusableCertificate``, which says what is wrong and shows neither.
    @discardableResult
    public func load(chain: [UInt8], key: [UInt8]) throws(UnusableCertificate) -> Bool {
        if state.withLock({ $0.chain == chain && $0.key == key && $0.context != nil }) { return false }
        guard let text = String(validating: chain, as: UTF8.self), let first = try? Certificate(pemEncoded: text) else {
            throw UnusableCertificate(problem: "the certificate is no PEM")
        }
        let certificates: [NIOSSLCertificate]
        let privateKey: NIOSSLPrivateKey
        do { certificates = try NIOSSLCertificate.fromPEMBytes(chain) } catch {
            throw UnusableCertificate(problem: "the certificate is no PEM")
        }
        do { privateKey = try NIOSSLPrivateKey(bytes: key, format: .pem) } catch {
            throw UnusableCertificate(problem: "the key is no PEM")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: certificates.map { .certificate($0) }, privateKey: .privateKey(privateKey))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        // How long a peer may take to agree to the end of a connection: nothing is lost by not waiting for it.
        configuration.shutdownTimeout = .milliseconds(500)
        let context: NIOSSLContext
        do { context = try NIOSSLContext(configuration: configuration) } catch {
            throw UnusableCertificate(problem: "the key is not the certificate's")
        }
        state.withLock { $0 = State(context: context, chain: chain, key: key, notAfter: first.notValidAfter) }
        return true
    }
}

/// Why a certificate cannot be served.
public struct UnusableCertificate: Error, Sendable, Hashable, CustomStringConvertible {
    public let problem: String
    public var description: String { problem }
}
