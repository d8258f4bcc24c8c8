internal import FoundationEssentials
public import Logging
public import ServiceLifecycle

/// Serves `tls.crt` and `tls.key` of a folder, as cert-manager's Secret is mounted, and reads them again when they
/// change.
///
/// `caBundle` is then somebody else's to fill in, such as cert-manager's CA injector.
public struct CertificateFiles: Service {
    private let folder: String
    private let serving: ServingCertificate
    private let period: Duration
    private let logger: Logger

    /// - Parameter period: between two looks. The kubelet itself takes up to a minute to bring a changed Secret.
    public init(folder: String, serving: ServingCertificate, period: Duration = .seconds(2), logger: Logger) {
        self.folder = folder
        self.serving = serving
        self.period = period
        self.logger = logger
    }

    public func run() async throws {
        do {
            try await cancelWhenGracefulShutdown {
                var complaint: String?
                while true {
                    let problem = look()
                    if let problem, problem != complaint {
                        logger.warning(
                            "webhook certificate", metadata: ["folder": "\(folder)", "problem": "\(problem)"])
                    }
                    complaint = problem
                    try await Task.sleep(for: serving.isLoaded ? period : min(period, .seconds(1)))
                }
            }
        } catch is CancellationError {}
    }

    /// Nil: what is there is served. A certificate and a key of two generations, read in the middle of a change, do not
    /// fit and are passed over.
    private func look() -> String? {
        guard let chain = try? Data(contentsOf: URL(filePath: folder + "/tls.crt")),
            let key = try? Data(contentsOf: URL(filePath: folder + "/tls.key"))
        else { return "tls.crt and tls.key cannot be read" }
        do throws(UnusableCertificate) {
            if try serving.load(chain: Array(chain), key: Array(key)) {
                logger.info(
                    "webhook certificate loaded",
                    metadata: ["expires": "\(serving.notAfter.map { $0.formatted(.iso8601) } ?? "")"])
            }
            return nil
        } catch {
            return error.problem
        }
    }
}
