/// How a node takes part in swarms.
public struct SwarmConfiguration: Sendable, Equatable {
    /// Where others are found.
    public var peers: PeerSource
    /// Where the peer server listens, such as `0.0.0.0:9418`; port 0: the kernel chooses.
    public var listen: PeerAddress
    /// The address by which the others know this node; nil: the one among `peers` that is this machine's.
    public var advertised: PeerAddress?
    /// Where this node stands, and the links beyond are narrow: a rack, a hall, a zone of a cloud
    /// (`topology.kubernetes.io/zone`). Each block then crosses into a zone about once. Empty: nowhere in particular.
    public var zone: String
    /// PEM files; nil: plain HTTP. The authority also says whom to trust as a peer.
    public var tls: TLSFiles?

    public struct TLSFiles: Sendable, Equatable {
        public var certificate: String
        public var key: String
        public var authority: String
        public init(certificate: String, key: String, authority: String) {
            self.certificate = certificate
            self.key = key
            self.authority = authority
        }
    }

    public init(
        peers: PeerSource, listen: PeerAddress, advertised: PeerAddress? = nil, zone: String = "", tls: TLSFiles? = nil
    ) {
        self.advertised = advertised
        self.peers = peers
        self.listen = listen
        self.zone = zone
        self.tls = tls
    }

    /// Whether the text may be a zone's name: the value of a label (Kubernetes documentation, "Labels and Selectors"),
    /// empty included.
    public static func isZone(_ text: String) -> Bool {
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
        }
        guard let first = text.utf8.first, let last = text.utf8.last else { return true }
        return text.utf8.count <= 63 && isAlphanumeric(first) && isAlphanumeric(last)
            && text.utf8.allSatisfy {
                isAlphanumeric($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".")
            }
    }
}

/// Why a node cannot take part. `description` is one line with the remedy.
public enum SwarmError: Error, Sendable, CustomStringConvertible {
    case cannotListen(PeerAddress, String)
    case badCertificates(String)

    public var description: String {
        switch self {
        case .cannotListen(let address, let why):
            "the peer server cannot listen on \(address): \(why); set --peer-address to a free address and port of this node"
        case .badCertificates(let why):
            "the peers' certificate files cannot be used: \(why); name readable PEM files of one certificate, its key and its authority"
        }
    }
}
