// Preload: `libossc_preload.so`, by which a program reads a model's files while they arrive.
//
// `start` in this file reads the settings when the library is loaded. The hooks (*Hooks.swift) stand before the C
// library's functions. This is Embedded Swift: no runtime and no allocator.
// - Caches.swift, CacheSettings.swift: the models that this process may read, and the settings of each.
// - Namespace.swift: the `Place` of a path, and the model's twin of it.
// - Descriptors.swift, ManagedFile.swift: the incomplete files that are open. ReadHooks.swift waits for a range.
// - Mapping.swift, Regions.swift, FaultThread.swift: mappings whose absent chunks wait, by userfaultfd.
// - Session.swift, Connection.swift: one `Connection` to the agent of each cache, used by the library's thread alone.
// - Fork.swift: a child's own thread, connections and mappings.
// - Text.swift: `Text` is a path or a line, as bytes.
// Invariants:
// - The program gets no byte of a chunk before the chunk's visible bit is set.
// - If bytes that it read turn out wrong, the program ends (status 74).
// - Memory comes from the kernel, and hack/build-preload lists each function that may be imported.
// - Nobody waits, reports or calls the program's functions while a lock of the library is held.
// - A program that touches no model asks no agent.
// Left to others: the formats of packets and presence files (AgentWire), system calls and C (PreloadShim), the bytes
// (the agent).

import PreloadShim

// The settings that the environment had when the library was loaded. Each is written once, by `start`, before the
// switch is turned on with release order, and only read afterwards: that is why these globals are safe.

/// Safe: written once by `start`. MODELCACHE_FAULTS=block.
nonisolated(unsafe) var faultsBlock = false
/// Safe: written once by `start`. How long nothing may arrive in the whole model.
nonisolated(unsafe) var deadlineMilliseconds: Int64 = 300_000
/// Safe: written once by `start`. How long an agent may be gone, in milliseconds; nil: as long as its kind may.
nonisolated(unsafe) var agentDeadlineSetting: Int64? = nil
/// Safe: written once by `start`. MODELCACHE_SOCKET, or the socket in `rootPath`.
nonisolated(unsafe) var socketPath: UnsafePointer<CChar>! = nil
/// Safe: written once by `start`.
nonisolated(unsafe) var rootPath: UnsafePointer<CChar>! = nil

/// Safe: written once by `start`. This library's own file, absolute; nil when unknown.
nonisolated(unsafe) var libraryPath: UnsafePointer<CChar>? = nil

/// LD_PRELOAD may name it relative to the directory in which the program was started.
private func rememberLibrary() {
    guard let own = ossc_own_path(), own[0] != 0 else { return }
    withPath { path in
        if own[0] != slash {
            let n = ossc_getcwd(path.base, path.capacity)
            guard n > 1, path.base[0] == slash else { return }
            path.truncate(to: n - 1)
            path.append(slash)
        }
        path.append(c: own)
        libraryPath = keep(path.base)
    }
}

/// A variable's value; nil when unset or empty.
func environment(_ name: StaticString) -> UnsafePointer<CChar>? {
    name.withUTF8Buffer { bytes -> UnsafePointer<CChar>? in
        let value = bytes.baseAddress.flatMap {
            $0.withMemoryRebound(to: CChar.self, capacity: bytes.count + 1) { ossc_environment($0) }
        }
        guard let value, value[0] != 0 else { return nil }
        return value
    }
}

/// A setting in seconds, as milliseconds; nil when it is unset.
private func seconds(_ name: StaticString) -> Int64? {
    guard let text = environment(name) else { return nil }
    var number: Int64 = 0
    var i = 0
    while text[i] != 0 {
        guard text[i] >= 48, text[i] <= 57, i < 9 else {
            refuse(name, "is not a whole number of seconds; set it to one, such as 300")
        }
        number = number * 10 + Int64(text[i] - 48)
        i += 1
    }
    guard number > 0 else { refuse(name, "must be at least 1; set it to a number of seconds") }
    return number * 1000
}

private func checkAddresses() {
    guard let list = environment("HTTP_SOURCE_IP") else { return }
    withPath { address in
        var i = 0
        while true {
            let byte = list[i]
            if byte == 0 || byte == 0x2C {
                if ossc_is_ip_address_or_range(address.base) == 0 {
                    refuse(
                        "HTTP_SOURCE_IP",
                        "is not a list of IP addresses; write addresses of this machine with commas between, such as 10.0.0.5,10.0.1.5, or ranges such as 10.0.0.0/16"
                    )
                }
                address.clear()
                if byte == 0 { return }
            } else if byte != 0x20 {
                address.append(byte)
            }
            i += 1
        }
    }
}

private func choosePaths() {
    withPath { path in
        if let root = environment("MODELCACHE_ROOT") {
            path.append(c: root)
        } else if ossc_getuid() == 0 {
            path.append("/run/modelcache")
        } else if let runtime = environment("XDG_RUNTIME_DIR") {
            path.append(c: runtime)
            path.append("/modelcache")
        } else {
            path.append("/dev/shm/modelcache-")
            path.append(number: UInt64(ossc_getuid()))
        }
        rootPath = keep(path.base)
        if let socket = environment("MODELCACHE_SOCKET") {
            path.clear()
            path.append(c: socket)
        } else {
            path.append("/agent.sock")
        }
        socketPath = keep(path.base)
    }
    guard rootPath != nil, socketPath != nil else { refuse("MODELCACHE_ROOT", "cannot be used: no memory; free some") }
}

private func checkFaults() {
    guard let mode = environment("MODELCACHE_FAULTS") else { return }
    if equal(mode, "block") {
        faultsBlock = true
    } else if !equal(mode, "auto") && !equal(mode, "userfaultfd") {
        refuse("MODELCACHE_FAULTS", "is none of auto, userfaultfd, block; set it to one of them")
    }
}

private func checkConfiguration() {
    guard let path = environment("MODELCACHE_CONFIG") else { return }
    if ossc_access(path, 4) < 0 {
        refuse("MODELCACHE_CONFIG", "names a file that cannot be read; correct the path or its permissions")
    }
}

/// Reads the switch and, when it is on, the settings. A wrong one ends the program before it reads.
@_cdecl("ossc_start")
public func start() {
    guard ossc_claim_start() != 0 else { return }
    guard let value = environment("ENABLE_CONNECTOR"), !(value[0] == 48 && value[1] == 0), ossc_is_glibc() != 0 else {
        ossc_set_switch(UInt32(OSSC_OFF))
        return
    }
    setLevel()
    choosePaths()
    checkAddresses()
    checkFaults()
    checkConfiguration()
    deadlineMilliseconds = seconds("MODELCACHE_DEADLINE_SECONDS") ?? deadlineMilliseconds
    agentDeadlineSetting = seconds("MODELCACHE_AGENT_DEADLINE_SECONDS")
    makeCaches()
    makeConnections()
    hiddenBase = ossc_first_hidden_number()
    ossc_claim_process()
    rememberLibrary()
    adoptInheritedDescriptors()
    ossc_register_fork_handlers()
    ossc_set_switch(UInt32(OSSC_ON))
}
