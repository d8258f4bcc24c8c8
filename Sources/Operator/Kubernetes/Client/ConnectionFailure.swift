import AsyncHTTPClient
import Glibc
import NIOCore
import NIOPosix
import NIOSSL

/// Describes failures below HTTP, and says what to look at.
enum ConnectionFailure {
    static func explain(_ error: any Error, server: String) -> String {
        switch error {
        case let error as NIOConnectionError:
            if let cause = error.connectionErrors.first?.error { return explain(cause, server: server) }
            return "no address for \(error.host); check the server's name in the configuration"
        case let error as IOError where error.errnoCode == ECONNREFUSED:
            return "\(server) refused the connection; is the API server running there?"
        case let error as IOError:
            return "the connection to \(server) failed (errno \(error.errnoCode))"
        case let error as NIOSSLExtraError:
            return "\(server) is not who the configuration says (\(error)); check tls-server-name and the address"
        case let error as NIOSSLError:
            return "TLS with \(server) failed (\(error)); check certificate-authority and the client certificate"
        case let error as BoringSSLError:
            return "TLS with \(server) failed (\(error)); check certificate-authority and the client certificate"
        case let error as HTTPClientError where error == .connectTimeout || error == .tlsHandshakeTimeout:
            return "\(server) did not take the connection in time; is it reachable from here?"
        case let error as HTTPClientError:
            return "the connection to \(server) failed: \(error.shortDescription)"
        default:
            return "the connection to \(server) failed (\(type(of: error)))"
        }
    }
}
