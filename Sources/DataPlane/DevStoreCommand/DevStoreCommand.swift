import ArgumentParser
import DevStore
import Foundation
import Glibc
import NIOSSL

/// `modelcache-devstore`: a directory as OSS and S3.
@main
struct DevStoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "modelcache-devstore",
        abstract: "Serves a directory as Alibaba Cloud OSS and as S3, for demos, tests and benches.",
        discussion: """
            Sub-directories of --root are buckets. With --key, signatures (OSS V1 and V4, S3 V4) are verified; without,
            everything is open. An object's ETag is its MD5 up to 16 MiB; of a larger one it names the file's state, so
            that writing the same bytes again changes it, as a new multipart upload may. Faults are set at run time through the admin port: PUT /faults, GET /stats.

            EXAMPLES
              modelcache-devstore --root /srv/buckets --port 9000
              modelcache-devstore --root /srv --key LTAI1:secret --region cn-beijing --bandwidth 100MB
              modelcache-devstore --bucket models=/data/gguf --key K:s:token:2030-01-01T00:00:00Z --public models
              curl -X PUT 127.0.0.1:ADMIN/faults -d '{"rules":[{"action":{"status":503,"qosDelayMs":200},"count":3}]}'
            """)

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
    @Option(help: ArgumentHelp("A fault plan, JSON or a file with it.", valueName: "json|file"))
    var faults: String?
    @Option(help: ArgumentHelp("Keep digests of objects here over restarts.", valueName: "file"))
    var digestFile: String?
    @Flag(help: "Answer for objects over 16 MiB before their digest is known, without it; it is read meanwhile.")
    var lazyDigests = false
    @Option(help: ArgumentHelp("Append a JSON line for each request.", valueName: "file"))
    var accessLog: String?
    @Option(help: ArgumentHelp("Write {\"port\", \"adminPort\", \"tlsPort\", \"pid\"} here once listening.", valueName: "file"))
    var readyFile: String?
    @Option(help: "Event loop threads.")
    var threads = 2

    private struct Ready: Encodable {
        let port: Int
        let adminPort: Int?
        let tlsPort: Int?
        let pid: Int32
    }

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        let service = StoreService(try configuration(), faults: try faultPlan())
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
            guard descriptor >= 0 else { throw ValidationError("--access-log \(accessLog): \(String(cString: strerror(errno)))") }
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
                // Lives as long as the process.
                _ = Unmanaged.passRetained(source as AnyObject)
            }
        }
        if let readyFile {
            // Renamed into place: whoever waits for it reads all of it.
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
                guard let tlsCert, let tlsKey else { throw ValidationError("--tls-port needs --tls-cert and --tls-key") }
                encrypted = try await server.listen(host: host, port: tlsPort, tls: try Self.tls(certificate: tlsCert, key: tlsKey))
                print("listening on https://\(host):\(encrypted ?? 0)")
            }
            var adminPort: Int?
            if let admin {
                adminPort = try await server.listenForAdmin(port: admin)
                print("admin on http://127.0.0.1:\(adminPort ?? 0)")
            }
            fflush(nil)
            return Ready(port: plain, adminPort: adminPort, tlsPort: encrypted, pid: getpid())
        } catch let error as ValidationError {
            throw error
        } catch {
            throw ValidationError("cannot listen on \(host): \(error); choose another port")
        }
    }

    private static func tls(certificate: String, key: String) throws -> NIOSSLContext {
        let chain = try NIOSSLCertificate.fromPEMFile(certificate).map { NIOSSLCertificateSource.certificate($0) }
        let privateKey = try NIOSSLPrivateKey(file: key, format: .pem)
        return try NIOSSLContext(configuration: .makeServerConfiguration(certificateChain: chain, privateKey: .privateKey(privateKey)))
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
            guard let file = try? String(contentsOfFile: keys, encoding: .utf8) else { throw ValidationError("--keys '\(keys)' cannot be read") }
            texts += file.split(separator: "\n").map(String.init).filter { !$0.hasPrefix("#") }
        }
        for text in texts {
            // The text holds a secret: the error does not repeat it.
            guard let key = AccessKey(text: text) else { throw ValidationError("a key is not id:secret[:token[:expiry]]") }
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

    private func faultPlan() throws -> FaultPlan {
        guard let faults else { return FaultPlan() }
        let data = faults.hasPrefix("{") ? Data(faults.utf8) : FileManager.default.contents(atPath: faults)
        guard let data, let plan = try? JSONDecoder().decode(FaultPlan.self, from: data) else {
            throw ValidationError("--faults is no fault plan: give JSON as in the examples, or a file with it")
        }
        return plan
    }
}
