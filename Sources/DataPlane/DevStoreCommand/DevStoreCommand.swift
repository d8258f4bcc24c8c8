// DevStoreCommand: the program `modelcache-devstore`.
//
// - `DevStoreCommand` makes a service and its servers from the options and runs them until SIGTERM or SIGINT.
// Invariants: the ready file appears complete, by a rename, and only when every port listens.
// Left to others: responses, signatures, faults and oddities (DevStore).

import AgentAPI
import ArgumentParser
import DevStore
import Foundation
import Glibc
import NIOSSL

/// `modelcache-devstore`: serves a directory as OSS and S3.
@main
struct DevStoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "modelcache-devstore",
        abstract: "Serves a directory as Alibaba Cloud OSS and as S3, for demos, tests and benches.",
        usage: "modelcache-devstore [<options>]",
        discussion: """
            Sub-directories of --root are buckets. With --key, signatures (OSS V1 and V4, S3 V4) are verified; without, \
            everything is open. An object's ETag is its MD5 up to 16 MiB; of a larger one it names the file's state, so \
            that writing the same bytes again changes it, as a new multipart upload may. Faults and oddities are set at run time through the \
            admin port: PUT /faults, PUT /oddities, GET /stats.

            ODDITIES (--oddities) are what real stores do and clients must live with. \
            OSS is www.alibabacloud.com/help/en/oss, S3 is docs.aws.amazon.com/AmazonS3/latest. Of the store:
              requesterPays: true, requests must agree to pay
                OSS user-guide/enable-pay-by-requester
                S3 userguide/RequesterPaysBuckets.html
              encodedTokens: true, OSS codes continuation tokens
                OSS developer-reference/listobjectsv2
              objects: [{key, text}], percent-coded keys that no folder can hold
                OSS user-guide/object-overview-1
            Of objects, members of rules: [{key, ...}] where key is a pattern:
              storageClass, restore (ongoing, done): archives refuse GET
                OSS user-guide/restore-objects, S3 userguide/restoring-objects.html
              kms: true, encrypted, and the ETag is no MD5
                OSS user-guide/server-side-encryption-8, S3 API/API_Object.html
              symlink: the key of the target
                OSS developer-reference/putsymlink
              entityTag: other, an ETag that is no MD5
                OSS developer-reference/headobject
              partBytes, checksum (CRC64NVME, CRC32, CRC32C, SHA1, SHA256, none)
                S3 userguide/checking-object-integrity-upload.html
              partsToldBy: attributes (GetObjectAttributes), numbers (HEAD with
                partNumber), none; absent: both
                S3 API/API_GetObjectAttributes.html
              contentEncoding: as stored, may be empty
                S3 userguide/UsingMetadata.html
              listedSize, listedEntityTag: the listing differs from HEAD, as gateways' does
              refusal: {status, code, message} of GET; refusesHead: of HEAD too
                OSS developer-reference/error-codes-1, S3 API/ErrorResponses.html
              packedByProxy: true, a proxy sends other bytes (RFC 9110, 7.7)
            Throttling (qosDelayMs, retryAfter) is a fault, a wrong clock --clock-offset, a key that expires --key.

            EXAMPLES
              modelcache-devstore --root /srv/buckets --port 9000
              modelcache-devstore --root /srv --key LTAI1:secret --bandwidth 100MB
              modelcache-devstore --bucket models=/data/gguf \\
                --key K:s:token:2030-01-01T00:00:00Z --public models
              modelcache-devstore --root /srv \\
                --oddities '{"rules":[{"key":"*.old","storageClass":"Archive"}]}'
              curl -X PUT 127.0.0.1:ADMIN/faults \\
                -d '{"rules":[{"action":{"status":503},"count":3}]}'
            """,
        version: Release.version)

    @Option(help: ArgumentHelp("Every sub-directory is a bucket.", valueName: "dir"))
    var root: String?
    @Option(help: ArgumentHelp("A bucket and its directory; repeatable.", valueName: "name=dir"))
    var bucket: [String] = []
    @Option(help: "Address to listen on.")
    var host = "127.0.0.1"
    @Option(help: "Port; 0 lets the kernel choose.")
    var port = 0
    @Option(help: ArgumentHelp("Admin port on loopback; 0 lets the kernel choose. Default: none.", valueName: "port"))
    var admin: Int?
    @Option(help: ArgumentHelp("HTTPS port, with --tls-cert and --tls-key.", valueName: "port"))
    var tlsPort: Int?
    @Option(help: ArgumentHelp("PEM file.", valueName: "file"))
    var tlsCert: String?
    @Option(help: ArgumentHelp("PEM file.", valueName: "file"))
    var tlsKey: String?
    @Option(help: ArgumentHelp("An access key; repeatable.", valueName: "id:secret[:token[:expiry]]"))
    var key: [String] = []
    @Option(help: ArgumentHelp("Access keys, one a line, as for --key.", valueName: "file"))
    var keys: String?
    @Option(help: ArgumentHelp("A bucket that anyone may read; repeatable.", valueName: "bucket"))
    var `public`: [String] = []
    @Option(help: "The region that V4 signatures must name.")
    var region: String?
    @Option(help: ArgumentHelp("Host name below which buckets are sub-domains; repeatable.", valueName: "name"))
    var baseHost: [String] = []
    @Option(help: "oss or s3, for requests that show neither.")
    var dialect = "oss"
    @Option(help: ArgumentHelp("Seconds by which the store's clock is wrong.", valueName: "seconds"))
    var clockOffset = 0
    @Option(help: ArgumentHelp("Bytes per second over all connections, such as 100MB or 800Mbit.", valueName: "rate"))
    var bandwidth: String?
    @Option(help: ArgumentHelp("Roles, JSON or a file with it: temporary keys are then given.", valueName: "json|file"))
    var identity: String?
    @Option(
        help: ArgumentHelp(
            "Where STS, metadata services and container endpoint listen; repeatable. Default: HOST:0.",
            valueName: "host:port"))
    var identityListen: [String] = []
    @Option(help: ArgumentHelp("A fault plan, JSON or a file with it.", valueName: "json|file"))
    var faults: String?
    @Option(help: ArgumentHelp("What is odd of the store, JSON or a file with it.", valueName: "json|file"))
    var oddities: String?
    @Option(help: ArgumentHelp("Keep digests of objects here over restarts.", valueName: "file"))
    var digestFile: String?
    @Flag(help: "Answer for objects over 16 MiB before their digest is known, without it; it is read meanwhile.")
    var lazyDigests = false
    @Option(help: ArgumentHelp("Append a JSON line for each request.", valueName: "file"))
    var accessLog: String?
    @Option(
        help: ArgumentHelp(
            "Write {\"port\", \"adminPort\", \"tlsPort\", \"identityPort\", \"identityTLSPort\", \"pid\"} here once listening.",
            valueName: "file"))
    var readyFile: String?
    @Option(help: "Event loop threads.")
    var threads = 2

    private struct Ready: Encodable {
        let port: Int
        let adminPort: Int?
        let tlsPort: Int?
        let identityPort: Int?
        let identityTLSPort: Int?
        let pid: Int32
    }

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        let service = StoreService(
            try configuration(), faults: try plan(faults, "--faults") ?? FaultPlan(),
            oddities: try plan(oddities, "--oddities") ?? OddityPlan())
        var cap: Double?
        if let bandwidth {
            guard let rate = Bandwidth.parse(bandwidth) else {
                throw ValidationError("--bandwidth '\(bandwidth)' is no rate; write it as 100MB or 800Mbit")
            }
            cap = rate
        }
        var log: FileHandle?
        if let accessLog {
            let descriptor = open(accessLog, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
            guard descriptor >= 0 else {
                throw ValidationError("--access-log \(accessLog): \(String(cString: strerror(errno)))")
            }
            log = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        }
        let server = StoreServer(service: service, threads: max(1, threads), bandwidth: cap, accessLog: log)
        let port = try await listen(server)
        let terminated = AsyncStream<Void> { continuation in
            for number in [SIGTERM, SIGINT] {
                signal(number, SIG_IGN)
                let source = DispatchSource.makeSignalSource(signal: number)
                source.setEventHandler { continuation.finish() }
                source.resume()
                // It lives as long as the process.
                _ = Unmanaged.passRetained(source as AnyObject)
            }
        }
        if let readyFile {
            // Renamed into place, so that a process that waits for the file reads all of it.
            try JSONEncoder().encode(port).write(to: URL(fileURLWithPath: readyFile), options: .atomic)
        }
        for await _ in terminated {}
        await server.shutDown()
    }

    private func listen(_ server: StoreServer) async throws -> Ready {
        do {
            let plain = try await server.listen(host: host, port: port)
            print("listening on http://\(host):\(plain)")
            var encrypted: Int?
            if let tlsPort {
                guard let tlsCert, let tlsKey else {
                    throw ValidationError("--tls-port needs --tls-cert and --tls-key")
                }
                encrypted = try await server.listen(
                    host: host, port: tlsPort, tls: try Self.tls(certificate: tlsCert, key: tlsKey))
                print("listening on https://\(host):\(encrypted ?? 0)")
            }
            var adminPort: Int?
            if let admin {
                adminPort = try await server.listenForAdmin(port: admin)
                print("admin on http://127.0.0.1:\(adminPort ?? 0)")
            }
            let identityPorts = try await listenForIdentity(server)
            fflush(nil)
            return Ready(
                port: plain, adminPort: adminPort, tlsPort: encrypted, identityPort: identityPorts?.plain,
                identityTLSPort: identityPorts?.encrypted, pid: getpid())
        } catch let error as ValidationError {
            throw error
        } catch {
            throw ValidationError("cannot listen on \(host): \(error); choose another port")
        }
    }

    /// Nil without `--identity`.
    private func listenForIdentity(_ server: StoreServer) async throws -> (plain: Int, encrypted: Int?)? {
        guard let identity else { return nil }
        let data = identity.hasPrefix("{") ? Data(identity.utf8) : FileManager.default.contents(atPath: identity)
        guard let data, let plan = try? JSONDecoder().decode(IdentityPlan.self, from: data) else {
            throw ValidationError("--identity is no identity plan: give JSON, or a file with it")
        }
        server.service.identity.plan = plan
        var first: Int?
        for place in identityListen.isEmpty ? ["\(host):0"] : identityListen {
            guard let colon = place.lastIndex(of: ":"), let port = Int(place[place.index(after: colon)...]) else {
                throw ValidationError("--identity-listen '\(place)' is not host:port")
            }
            let bound = try await server.listenForIdentity(host: String(place[..<colon]), port: port)
            print("identity on http://\(place[..<colon]):\(bound)")
            first = first ?? bound
        }
        var encrypted: Int?
        if let tlsCert, let tlsKey {
            encrypted = try await server.listenForIdentity(
                host: host, port: 0, tls: try Self.tls(certificate: tlsCert, key: tlsKey))
        }
        return (first ?? 0, encrypted)
    }

    private static func tls(certificate: String, key: String) throws -> NIOSSLContext {
        let chain = try NIOSSLCertificate.fromPEMFile(certificate).map { NIOSSLCertificateSource.certificate($0) }
        let privateKey = try NIOSSLPrivateKey(file: key, format: .pem)
        return try NIOSSLContext(
            configuration: .makeServerConfiguration(certificateChain: chain, privateKey: .privateKey(privateKey)))
    }

    private func configuration() throws -> StoreConfiguration {
        var configuration = StoreConfiguration()
        for text in bucket {
            let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, let tree = BucketTree(name: parts[0], directory: parts[1]) else {
                throw ValidationError("--bucket '\(text)' is not name=dir of an existing directory")
            }
            configuration.buckets.append(tree)
        }
        if let root {
            var isDirectory: ObjCBool = false
            guard FileManager.default.fileExists(atPath: root, isDirectory: &isDirectory), isDirectory.boolValue else {
                throw ValidationError("--root '\(root)' is no directory")
            }
            configuration.root = root
        }
        guard root != nil || !bucket.isEmpty else { throw ValidationError("give --root or --bucket") }
        var texts = key
        if let keys {
            guard let file = try? String(contentsOfFile: keys, encoding: .utf8) else {
                throw ValidationError("--keys '\(keys)' cannot be read")
            }
            texts += file.split(separator: "\n").map(String.init).filter { !$0.hasPrefix("#") }
        }
        for text in texts {
            // The text has a secret, so the error does not repeat it.
            guard let key = AccessKey(text: text) else {
                throw ValidationError("a key is not id:secret[:token[:expiry]]")
            }
            configuration.keys.append(key)
        }
        guard let chosen = Dialect(rawValue: dialect) else { throw ValidationError("--dialect is oss or s3") }
        configuration.defaultDialect = chosen
        configuration.publicBuckets = Set(self.public)
        configuration.region = region
        configuration.baseHosts = baseHost
        configuration.clockOffsetSeconds = Int64(clockOffset)
        configuration.digestFile = digestFile
        configuration.lazyDigests = lazyDigests
        return configuration
    }

    /// A plan that an option gives as JSON or as a file's name.
    private func plan<Plan: Decodable>(_ text: String?, _ option: String) throws -> Plan? {
        guard let text else { return nil }
        let data = text.hasPrefix("{") ? Data(text.utf8) : FileManager.default.contents(atPath: text)
        guard let data, let plan = try? JSONDecoder().decode(Plan.self, from: data) else {
            throw ValidationError("\(option) is no plan: give JSON as in the examples, or a file with it")
        }
        return plan
    }
}
