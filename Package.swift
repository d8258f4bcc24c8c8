// swift-tools-version: 6.1
import PackageDescription

// One language mode and one warning policy for every Swift target.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
    .unsafeFlags(["-warnings-as-errors"]),
]

// Large tests whose time is not in their own code: compiled as they stand, which takes half as long.
let plainTests: [SwiftSetting] = strict + [.unsafeFlags(["-Onone"])]

// The preload library lives inside programs that know nothing of Swift: no runtime, no allocation
// at load, libc alone. See Sources/DataPlane/Preload.
let embedded: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableExperimentalFeature("Embedded"),
    .unsafeFlags(["-wmo", "-Osize", "-warnings-as-errors"]),
]

let strictC: [CSetting] = [.unsafeFlags(["-Wall", "-Wextra", "-Werror"])]

let package = Package(
    name: "modelcache",
    products: [
        .executable(name: "modelcache", targets: ["Command"]),
        .executable(name: "modelcache-devstore", targets: ["DevStoreCommand"]),
        .executable(name: "modelcache-sim", targets: ["Simulator"]),
        .executable(name: "modelcache-operator", targets: ["OperatorCommand"]),
        .executable(name: "kubectl-modelcache", targets: ["KubectlPlugin"]),
        .library(name: "ossc_preload", type: .dynamic, targets: ["Preload"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-atomics", exact: "1.3.0"),
        .package(url: "https://github.com/apple/swift-asn1", exact: "1.7.4"),
        .package(url: "https://github.com/apple/swift-certificates", exact: "1.21.1"),
        .package(url: "https://github.com/apple/swift-collections", exact: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client", exact: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
        .package(url: "https://github.com/vapor/jwt-kit", exact: "5.7.1"),
    ],
    targets: [
        // MARK: Contracts and small modules that know nothing else

        // The messages between the preload library and the agent: one C header.
        .target(name: "AgentWire", path: "Sources/DataPlane/AgentWire", cSettings: strictC),
        // CRC-64/ECMA, the digest OSS publishes for every object, at memory speed.
        .target(name: "Checksum", path: "Sources/DataPlane/Checksum", cSettings: strictC),
        // Texts that both planes read and write: hexadecimal digits, percent coding, dates, metrics, a wrong setting.
        .target(name: "TextCoding", path: "Sources/DataPlane/TextCoding", swiftSettings: strict),
        // Log lines of every program: text or JSON, one an event.
        .target(
            name: "LogOutput", dependencies: [.product(name: "Logging", package: "swift-log")],
            path: "Sources/DataPlane/LogOutput", swiftSettings: strict),
        // What a listening socket does while the process has no descriptor left.
        .target(
            name: "Accepting", dependencies: [.product(name: "NIOCore", package: "swift-nio")],
            path: "Sources/DataPlane/Accepting", swiftSettings: strict),
        // HTTP servers that are open to a whole cluster: bounds on connections, heads and time.
        .target(
            name: "HTTPBounds",
            dependencies: [
                "Accepting",
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            path: "Sources/DataPlane/HTTPBounds", swiftSettings: strict),
        // The page of `modelcache ui` and `kubectl modelcache ui`, and the server of it.
        .target(
            name: "StatusPage",
            dependencies: [
                "HTTPBounds", "TextCoding",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            path: "Sources/DataPlane/StatusPage", exclude: ["page.html"], swiftSettings: strict),
        // The few Linux calls that Swift cannot say: descriptor passing, futexes, mounts.
        .target(name: "LinuxShim", path: "Sources/DataPlane/LinuxShim", cSettings: strictC),
        // curl_easy_setopt and its kin are variadic, which Swift cannot call.
        .target(
            name: "CurlShim", path: "Sources/DataPlane/CurlShim", cSettings: strictC,
            linkerSettings: [.linkedLibrary("curl")]),
        // The client's end of TLS over a connected socket, by the OpenSSL that libcurl uses too.
        .target(
            name: "TLSShim", path: "Sources/DataPlane/TLSShim", cSettings: strictC,
            linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),

        // MARK: Data plane

        // HTTP ranges over libcurl, for stores and peers alike. Knows no store's protocol.
        .target(
            name: "RangeTransfer", dependencies: ["CurlShim", "LinuxShim", "StoreHost", "TextCoding", "TLSShim"],
            path: "Sources/DataPlane/RangeTransfer", swiftSettings: strict),
        // OSS and S3: locations, credentials, signatures, listings, checksums.
        .target(
            name: "ObjectStore",
            dependencies: [
                "Checksum", "CurlShim", "RangeTransfer", "StoreHost", "TextCoding",
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            path: "Sources/DataPlane/ObjectStore", swiftSettings: strict),
        .target(
            name: "ChunkStore",
            dependencies: [
                "AgentWire", "Checksum", "LinuxShim", "TextCoding",
                .product(name: "Atomics", package: "swift-atomics"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/DataPlane/ChunkStore", swiftSettings: strict),
        .target(
            name: "Transfer",
            dependencies: [
                "ChunkStore", "ObjectStore", "RangeTransfer", "Swarm", "SwarmPlan",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/DataPlane/Transfer", swiftSettings: strict),
        // The models and caches of a node: who may open them, their capacity, their fills.
        .target(
            name: "Models",
            dependencies: [
                "AgentAPI", "ChunkStore", "LinuxShim", "LogOutput", "ObjectStore", "RangeTransfer", "StoreHost",
                "Swarm", "TextCoding", "Transfer",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/DataPlane/Models", swiftSettings: strict),
        // The agent's unix sockets: packets, clients' sessions, and the command's end of one.
        .target(
            name: "Sessions",
            dependencies: [
                "Accepting", "AgentAPI", "AgentWire", "ChunkStore", "LinuxShim", "Models", "ObjectStore", "Swarm",
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/DataPlane/Sessions", swiftSettings: strict),
        // The agent's HTTP: reports, the operator's orders, and who may ask; callers' tokens.
        .target(
            name: "NodeAPI",
            dependencies: [
                "AgentAPI", "HTTPBounds", "Models", "TextCoding",
                .product(name: "JWTKit", package: "jwt-kit"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            path: "Sources/DataPlane/NodeAPI", swiftSettings: strict),
        // One agent: configuration, and the modules above put together.
        .target(
            name: "Agent",
            dependencies: [
                "AgentAPI", "ChunkStore", "LinuxShim", "LogOutput", "Models", "NodeAPI", "ObjectStore", "RangeTransfer",
                "Sessions", "StoreHost", "Swarm", "TextCoding",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            path: "Sources/DataPlane/Agent", swiftSettings: strict),
        // What one agent says, as the page of `modelcache ui` shows it.
        .target(
            name: "NodePage", dependencies: ["Agent", "AgentAPI", "Models", "StatusPage"],
            path: "Sources/DataPlane/NodePage", swiftSettings: strict),
        // One object into a cache, timed, without an agent around it.
        .target(
            name: "EngineBench",
            dependencies: [
                "ChunkStore", "Models", "ObjectStore", "RangeTransfer", "TextCoding", "Transfer",
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/DataPlane/EngineBench", swiftSettings: strict),
        // Which chunk from whom, and when: values that the agent and the simulator share. Knows nothing else.
        .target(name: "SwarmPlan", path: "Sources/DataPlane/Swarm/Plan", swiftSettings: strict),
        // Peers: who they are, what they hold, how bytes go between them.
        .target(
            name: "Swarm",
            dependencies: [
                "Accepting", "Checksum", "ChunkStore", "LinuxShim", "SwarmPlan", "TextCoding",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            path: "Sources/DataPlane/Swarm/Peers", swiftSettings: strict),
        // The planner on simulated time: links, a store, failures.
        .target(
            name: "SwarmSimulation",
            dependencies: [
                "SwarmPlan",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
            ],
            path: "Sources/DataPlane/Simulator/Simulation", swiftSettings: strict),
        .executableTarget(
            name: "Simulator",
            dependencies: ["SwarmSimulation", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            path: "Sources/DataPlane/Simulator/Command", swiftSettings: strict),
        .executableTarget(
            name: "Command",
            dependencies: [
                "Agent", "AgentAPI", "EngineBench", "LogOutput", "Models", "NodePage", "ObjectStore", "RangeTransfer",
                "Sessions", "StatusPage", "Swarm", "TextCoding",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/DataPlane/Command", swiftSettings: strict),

        // What the operator and an agent say to each other over HTTP, and how the request proves itself.
        .target(
            name: "AgentAPI",
            dependencies: ["TextCoding", .product(name: "Crypto", package: "swift-crypto")],
            path: "Sources/DataPlane/AgentAPI", swiftSettings: strict),

        // MARK: Control plane

        // The ModelCache resource: types, defaults, validation, schema.
        .target(
            name: "CRD", dependencies: ["StoreHost"], path: "Sources/CRD", exclude: ["StoreHost"], swiftSettings: strict),
        // Which hosts a model may be read from, and which entries of a Secret hold keys: one rule for validation, agents,
        // Jobs and the operator's own connections.
        .target(name: "StoreHost", path: "Sources/CRD/StoreHost", swiftSettings: strict),
        // A Kubernetes client: REST, list and watch, work queue, leases, events. Knows nothing of ModelCache.
        .target(
            name: "Kubernetes",
            dependencies: [
                "TextCoding",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Yams", package: "Yams"),
            ],
            path: "Sources/Operator/Kubernetes", swiftSettings: strict),
        // ModelCaches through the Kubernetes client: what operator and kubectl plugin both do with them.
        .target(
            name: "ModelCacheClient", dependencies: ["CRD", "Kubernetes"], path: "Sources/Operator/ModelCacheClient",
            swiftSettings: strict),
        .target(
            name: "Controller",
            dependencies: [
                "AgentAPI", "CRD", "Kubernetes", "ModelCacheClient", "ObjectStore", "RangeTransfer", "StoreHost", "TextCoding",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            path: "Sources/Operator/Controller", swiftSettings: strict),
        // The mutating webhook: which pods are injected, with what, and the certificates it is called by.
        .target(
            name: "Admission",
            dependencies: [
                "CRD", "HTTPBounds", "Kubernetes", "TextCoding",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "X509", package: "swift-certificates"),
            ],
            path: "Sources/Operator/Admission", swiftSettings: strict),
        .executableTarget(
            name: "OperatorCommand",
            dependencies: [
                "Admission", "AgentAPI", "Controller", "CRD", "HTTPBounds", "Kubernetes", "LogOutput",
                "ModelCacheClient", "StoreHost", "TextCoding",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Yams", package: "Yams"),
            ],
            path: "Sources/Operator/Command", swiftSettings: strict),
        // ModelCaches, nodes and starts, as the page of `kubectl modelcache ui` shows them.
        .target(
            name: "ClusterPage", dependencies: ["CRD", "StatusPage"], path: "Sources/Operator/ClusterPage",
            swiftSettings: strict),
        .executableTarget(
            name: "KubectlPlugin",
            dependencies: [
                "AgentAPI", "ClusterPage", "CRD", "Kubernetes", "ModelCacheClient", "StatusPage", "TextCoding",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/Operator/KubectlPlugin", swiftSettings: strict),

        // MARK: The library inside llama.cpp

        .target(
            name: "PreloadShim", dependencies: ["AgentWire"], path: "Sources/DataPlane/PreloadShim",
            cSettings: strictC),
        .target(
            name: "Preload", dependencies: ["AgentWire", "PreloadShim"], path: "Sources/DataPlane/Preload",
            swiftSettings: embedded),

        // MARK: Store emulator for the demo, tests and benches

        .target(
            name: "DevStore",
            dependencies: [
                "Accepting", "Checksum", "TextCoding",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            path: "Sources/DataPlane/DevStore", swiftSettings: strict),
        .executableTarget(
            name: "DevStoreCommand",
            dependencies: [
                "AgentAPI", "DevStore",
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/DataPlane/DevStoreCommand", swiftSettings: strict),

        // MARK: Tests (what needs whole processes is in Tests/System)

        // What tests of several modules share: repeatable randomness, a clock that tests move, waiting for an event.
        .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: strict),
        // The same for tests of the modules above ChunkStore.
        .target(
            name: "ChunkStoreTestSupport", dependencies: ["ChunkStore"], path: "Tests/ChunkStoreTestSupport",
            swiftSettings: strict),

        // A TLS server whose bytes the test carries.
        .target(
            name: "TLSPeer", path: "Tests/TLSPeer", cSettings: strictC,
            linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),

        .testTarget(
            name: "LogOutputTests", dependencies: ["LogOutput", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict),
        .testTarget(name: "TextCodingTests", dependencies: ["TestSupport", "TextCoding"], swiftSettings: strict),
        .testTarget(name: "ChecksumTests", dependencies: ["TestSupport", "Checksum"], swiftSettings: strict),
        .testTarget(name: "RangeTransferTests", dependencies: ["TestSupport", "RangeTransfer"], swiftSettings: strict),
        .testTarget(
            name: "ObjectStoreTests",
            dependencies: ["TestSupport", "ObjectStore", "RangeTransfer", "TextCoding", "TLSPeer", "TLSShim"],
            swiftSettings: plainTests),
        .testTarget(name: "ChunkStoreTests", dependencies: ["TestSupport", "ChunkStoreTestSupport", "ChunkStore", "Checksum", "AgentWire", "LinuxShim", "TextCoding"], swiftSettings: strict),
        .testTarget(
            name: "TransferTests",
            dependencies: ["TestSupport", "ChunkStoreTestSupport", "Transfer", "ChunkStore", "Checksum", "ObjectStore", "RangeTransfer", "Swarm", "SwarmPlan", .product(name: "Logging", package: "swift-log")], swiftSettings: strict),
        .testTarget(name: "AgentAPITests", dependencies: ["TestSupport", "AgentAPI"], swiftSettings: strict),
        .testTarget(
            name: "ModelsTests",
            dependencies: [
                "TestSupport", "AgentAPI", "ChunkStore", "ChunkStoreTestSupport", "DevStore", "LogOutput", "Models",
                "ObjectStore", "RangeTransfer", "StoreHost", "Swarm", "Transfer",
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        .testTarget(
            name: "SessionsTests",
            dependencies: [
                "TestSupport", "AgentAPI", "ChunkStore", "DevStore", "Models", "Sessions",
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        .testTarget(
            name: "NodeAPITests",
            dependencies: [
                "TestSupport", "AgentAPI", "Models", "NodeAPI",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        .testTarget(name: "AgentTests", dependencies: ["Agent", "LogOutput", "TextCoding"], swiftSettings: strict),
        .testTarget(name: "SwarmTests", dependencies: ["TestSupport", "Swarm", "SwarmPlan", "SwarmSimulation", .product(name: "NIOCore", package: "swift-nio")], swiftSettings: plainTests),
        .testTarget(
            name: "StatusPageTests",
            dependencies: ["TestSupport", "AgentAPI", "ClusterPage", "CRD", "Models", "NodePage", "StatusPage"],
            swiftSettings: strict),
        .testTarget(
            name: "HTTPBoundsTests",
            dependencies: [
                "TestSupport", "Accepting", "HTTPBounds",
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOEmbedded", package: "swift-nio"),
            ], swiftSettings: strict),
        .testTarget(name: "AdmissionTests", dependencies: ["TestSupport", "Admission", "CRD", "Kubernetes"], exclude: ["Golden"], swiftSettings: plainTests),
        .testTarget(name: "CRDTests", dependencies: ["TestSupport", "CRD", "StoreHost", .product(name: "Yams", package: "Yams")], swiftSettings: plainTests),
        .testTarget(
            name: "KubernetesTests",
            dependencies: [
                "TestSupport", "Kubernetes", .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ], swiftSettings: plainTests),
        .testTarget(
            name: "ControllerTests", dependencies: ["TestSupport", "AgentAPI", "Controller", "CRD", "Kubernetes", "RangeTransfer"], swiftSettings: plainTests),
        .testTarget(name: "DevStoreTests", dependencies: ["TestSupport", "DevStore", "TextCoding", .product(name: "Crypto", package: "swift-crypto")], swiftSettings: strict),
    ]
)
