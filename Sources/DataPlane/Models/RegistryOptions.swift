package import RangeTransfer
package import StoreHost

/// The settings of a ``ModelRegistry``.
package struct RegistryOptions: Sendable {
    /// Folder that holds `models/`, and the caches in memory.
    package var root: String
    /// Folder for caches of medium Disk; nil: none are taken.
    package var diskRoot: String?
    /// Most bytes of cached models; nil: what the medium allows.
    package var budgetBytes: Int64?
    /// Most bytes of caches on the disk; nil: what it allows.
    package var diskBudgetBytes: Int64?
    /// Most bytes staged between the network and the cache.
    package var inFlightBytes: Int64
    /// Most ranged GETs in flight; nil: what staging allows.
    package var connections: Int?
    /// Threads that receive from the store.
    package var receiveThreads: Int
    /// How long a model that nobody uses is kept; nil: until its capacity is needed.
    package var expireTime: Duration?
    /// Whether a ModelCache's store may be on this machine, as in testbeds.
    package var allowsLoopbackEndpoints = false
    /// Where a ModelCache's credentials may be used.
    package var credentialHosts = CredentialHosts()
    /// Whether a ModelCache may be read with the node's own role.
    package var allowsNodeRole = false
    /// The STS that ModelCaches' roles are assumed at; nil: that of the source's region.
    package var stsEndpoint: String?
    /// Through which stores are reached.
    package var proxies = ProxySettings.none
    /// For clients of a ModelCache's socket that do not say: the agent's own `HTTP_SOURCE_IP` and `SSL_CERT_FILE`.
    package var sourceDefaults: [String: String] = [:]
    /// Whether models are loaded together with other nodes.
    package var hasPeers = false
    /// PEM file of the authority that signed the peers' certificates; nil: peers speak plain HTTP.
    package var peerAuthority: String?

    package init(root: String, inFlightBytes: Int64 = 256 << 20, receiveThreads: Int) {
        self.root = root
        self.inFlightBytes = inFlightBytes
        self.receiveThreads = receiveThreads
    }
}
