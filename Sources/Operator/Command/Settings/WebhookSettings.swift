import Kubernetes

/// How pods are injected.
struct WebhookSettings: Equatable {
    enum Certificates: Equatable {
        /// Made and rotated by the operator.
        case own
        /// `tls.crt` and `tls.key` of this folder, as cert-manager makes them.
        case files(String)
    }

    var address: BindAddress
    var certificates: Certificates
    /// How long it still answers after SIGTERM, until the cluster has stopped sending.
    var drain: Duration
    // For tests: API servers that call by address, and lives short enough to watch.
    var extraNames: [String]
    var authorityLifetime: Duration?
    var certificateLifetime: Duration?
    var settleTime: Duration?

    /// Nil: off.
    static func resolve(_ values: Values, address: String) throws -> WebhookSettings? {
        guard
            let listens = try values.get(
                "webhook-bind-address", address, otherwise: BindAddress(":9443"), OperatorSettings.address)
        else { return nil }
        let folder = values.text("webhook-certificate-directory")
        let certificates: Certificates = try values.get("webhook-certificates", "write self or files", otherwise: .own)
        { text in
            switch text {
            case "self": .own
            case "files": .files(folder ?? "")
            default: nil
            }
        }
        if certificates == .files("") {
            throw values.failure(
                "webhook-certificates",
                "--webhook-certificates=files: which? Set --webhook-certificate-directory to the folder with tls.crt and tls.key"
            )
        }
        if certificates == .own, folder != nil {
            throw values.failure(
                "webhook-certificate-directory",
                "--webhook-certificate-directory is for --webhook-certificates=files; set that, or leave the folder out"
            )
        }
        return WebhookSettings(
            address: listens, certificates: certificates,
            drain: try values.get("webhook-drain-timeout", GoDuration.remedy, otherwise: .seconds(5), GoDuration.parse),
            extraNames: (values.text("webhook-extra-names") ?? "").split(separator: ",").map(String.init),
            authorityLifetime: try values.optional("webhook-authority-lifetime", GoDuration.remedy, GoDuration.parse),
            certificateLifetime: try values.optional(
                "webhook-certificate-lifetime", GoDuration.remedy, GoDuration.parse),
            settleTime: try values.optional("webhook-settle-time", GoDuration.remedy, GoDuration.parse))
    }
}
