// swift-tools-version: 6.1
import PackageDescription

// One language mode and one warning policy for every Swift target.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
    .unsafeFlags(["-warnings-as-errors"]),
]

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
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-atomics", from: "1.3.0"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.0"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.0"),
    ],
    targets: [
        // MARK: Contracts and small rooms that know nothing else

        // The messages between the preload library and the agent: one C header.
        .target(name: "AgentWire", path: "Sources/DataPlane/AgentWire", cSettings: strictC),
        // CRC-64/ECMA, the digest OSS publishes for every object, at memory speed.
        .target(name: "Checksum", path: "Sources/DataPlane/Checksum", cSettings: strictC),
        // The few Linux calls that Swift cannot say: descriptor passing, futexes, mounts.
        .target(name: "LinuxShim", path: "Sources/DataPlane/LinuxShim", cSettings: strictC),
        // curl_easy_setopt and its kin are variadic, which Swift cannot call.
        .target(
            name: "CurlShim", path: "Sources/DataPlane/CurlShim", cSettings: strictC,
            linkerSettings: [.linkedLibrary("curl")]),

        // MARK: Data plane

        .target(
            name: "ObjectStore",
            dependencies: [
                "CurlShim", "LinuxShim",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/DataPlane/ObjectStore", swiftSettings: strict),
        .target(
            name: "ChunkStore",
            dependencies: [
                "AgentWire", "Checksum", "LinuxShim",
                .product(name: "Atomics", package: "swift-atomics"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/DataPlane/ChunkStore", swiftSettings: strict),
        .target(
            name: "Transfer",
            dependencies: [
                "ChunkStore", "ObjectStore", "Swarm", "SwarmPlan",
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/DataPlane/Transfer", swiftSettings: strict),
        .target(
            name: "Agent",
            dependencies: [
                "AgentAPI", "AgentWire", "CRD", "ChunkStore", "LinuxShim", "ObjectStore", "Swarm", "Transfer",
                .product(name: "JWTKit", package: "jwt-kit"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            path: "Sources/DataPlane/Agent", swiftSettings: strict),
        // Which chunk from whom, and when: values that the agent and the simulator share. Knows nothing else.
        .target(name: "SwarmPlan", path: "Sources/DataPlane/Swarm/Plan", swiftSettings: strict),
        // Peers: who they are, what they hold, how bytes go between them.
        .target(
            name: "Swarm",
            dependencies: [
                "Checksum", "ChunkStore", "LinuxShim", "SwarmPlan",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            path: "Sources/DataPlane/Swarm/Peers", swiftSettings: strict),
        // The planner on simulated time: links, a store, failures.
        .target(
            name: "SwarmSimulation", dependencies: ["SwarmPlan"], path: "Sources/DataPlane/Simulator/Simulation",
            swiftSettings: strict),
        .executableTarget(
            name: "Simulator",
            dependencies: ["SwarmSimulation", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            path: "Sources/DataPlane/Simulator/Command", swiftSettings: strict),
        .executableTarget(
            name: "Command",
            dependencies: [
                "Agent", "ObjectStore", "Swarm",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/DataPlane/Command", swiftSettings: strict),

        // What the operator and an agent say to each other over HTTP, and how the request proves itself.
        .target(
            name: "AgentAPI",
            dependencies: [.product(name: "Crypto", package: "swift-crypto")],
            path: "Sources/DataPlane/AgentAPI", swiftSettings: strict),

        // MARK: Control plane

        // The ModelCache resource: types, defaults, validation, schema. Knows nothing else.
        .target(name: "CRD", path: "Sources/CRD", swiftSettings: strict),
        // A Kubernetes client: REST, list and watch, work queue, leases, events. Knows nothing of ModelCache.
        .target(
            name: "Kubernetes",
            dependencies: [
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Yams", package: "Yams"),
            ],
            path: "Sources/Operator/Kubernetes", swiftSettings: strict),
        .target(
            name: "Controller",
            dependencies: [
                "AgentAPI", "CRD", "Kubernetes", "ObjectStore",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            path: "Sources/Operator/Controller", swiftSettings: strict),
        // The mutating webhook: which pods are injected, with what, and the certificates it is called by.
        .target(
            name: "Admission",
            dependencies: [
                "CRD", "Kubernetes",
                .product(name: "Crypto", package: "swift-crypto"),
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
                "Admission", "Controller", "CRD", "Kubernetes",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Yams", package: "Yams"),
            ],
            path: "Sources/Operator/Command", swiftSettings: strict),
        .executableTarget(
            name: "KubectlPlugin",
            dependencies: [
                "CRD", "Kubernetes",
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
                "Checksum",
                .product(name: "Crypto", package: "swift-crypto"),
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
                "DevStore",
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/DataPlane/DevStoreCommand", swiftSettings: strict),

        // MARK: Tests (what needs whole processes is in Tests/System)

        .testTarget(name: "ChecksumTests", dependencies: ["Checksum"], swiftSettings: strict),
        .testTarget(name: "ObjectStoreTests", dependencies: ["ObjectStore"], swiftSettings: strict),
        .testTarget(name: "ChunkStoreTests", dependencies: ["ChunkStore", "Checksum", "AgentWire", "LinuxShim"], swiftSettings: strict),
        .testTarget(name: "TransferTests", dependencies: ["Transfer"], swiftSettings: strict),
        .testTarget(
            name: "AgentTests",
            dependencies: [
                "Agent", "AgentAPI", "AgentWire", .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
            ], swiftSettings: strict),
        .testTarget(name: "SwarmTests", dependencies: ["Swarm", "SwarmPlan", "SwarmSimulation", .product(name: "NIOCore", package: "swift-nio")], swiftSettings: strict),
        .testTarget(name: "AdmissionTests", dependencies: ["Admission", "CRD", "Kubernetes"], exclude: ["Golden"], swiftSettings: strict),
        .testTarget(name: "CRDTests", dependencies: ["CRD", .product(name: "Yams", package: "Yams")], swiftSettings: strict),
        .testTarget(
            name: "KubernetesTests",
            dependencies: [
                "Kubernetes", .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ], swiftSettings: strict),
        .testTarget(
            name: "ControllerTests", dependencies: ["AgentAPI", "Controller", "CRD", "Kubernetes"], swiftSettings: strict),
        .testTarget(name: "DevStoreTests", dependencies: ["DevStore"], swiftSettings: strict),
    ]
)
