import PreloadShim

// What the environment said when the library was loaded. Each is written once, by `start`, before the switch
// is turned on with release order, and only read afterwards: that is why these globals are safe.

/// Safe: written once by `start`. Absolute, normalised.
nonisolated(unsafe) var modelDirectory: UnsafePointer<CChar>! = nil
/// Safe: written once by `start`. MODELCACHE_FAULTS=block.
nonisolated(unsafe) var faultsBlock = false
/// Safe: written once by `start`. How long nothing may arrive in the whole model.
nonisolated(unsafe) var deadlineMilliseconds: Int64 = 300_000
/// Safe: written once by `start`. How long the agent may be gone; a node's agent, which others start, has longer.
nonisolated(unsafe) var agentDeadlineMilliseconds: Int64 = 30_000
/// Safe: written once by `start`.
nonisolated(unsafe) var socketPath: UnsafePointer<CChar>! = nil
/// Safe: written once by `start`.
nonisolated(unsafe) var rootPath: UnsafePointer<CChar>! = nil

/// Safe: written once by `start`. The socket is a ModelCache's own: its volume, as this program sees it; else nil.
nonisolated(unsafe) var volumePath: UnsafePointer<CChar>? = nil

/// A variable's value; nil when unset or empty.
func environment(_ name: StaticString) -> UnsafePointer<CChar>? {
    name.withUTF8Buffer { bytes -> UnsafePointer<CChar>? in
        let value = bytes.baseAddress.flatMap { $0.withMemoryRebound(to: CChar.self, capacity: bytes.count + 1) { ossc_environment($0) } }
        guard let value, value[0] != 0 else { return nil }
        return value
    }
}

private func seconds(_ name: StaticString, default value: Int64) -> Int64 {
    guard let text = environment(name) else { return value }
    var number: Int64 = 0
    var i = 0
    while text[i] != 0 {
        guard text[i] >= 48, text[i] <= 57, i < 9 else { refuse(name, "is not a whole number of seconds; set it to one, such as 300") }
        number = number * 10 + Int64(text[i] - 48)
        i += 1
    }
    guard number > 0 else { refuse(name, "must be at least 1; set it to a number of seconds") }
    return number * 1000
}

private func checkSource() {
    // A ModelCache's socket knows its source, and these variables are inherited by every program of a pod: its agent judges them
    // when one of those programs touches the model.
    if volumePath != nil { return }
    guard let path = environment("OSS_PATH") else {
        refuse("OSS_PATH", "is not set; set it to the model's place, such as oss://bucket/path/")
    }
    let isOSS = hasPrefix(path, "oss://")
    guard isOSS || hasPrefix(path, "s3://") else {
        refuse("OSS_PATH", "does not begin with oss:// or s3://; write oss://bucket/path/")
    }
    let bucket = path + (isOSS ? 6 : 5)
    guard bucket[0] != 0, bucket[0] != slash else { refuse("OSS_PATH", "names no bucket; write oss://bucket/path/") }
    // "oss://bucket/" is a model too, the whole bucket; without the slash a path was probably forgotten.
    guard find("/", in: bucket) != nil else {
        refuse("OSS_PATH", "names no path in the bucket; write oss://bucket/path/, or oss://bucket/ for all of it")
    }
    if isOSS && environment("OSS_ENDPOINT") == nil {
        refuse("OSS_ENDPOINT", "is not set; set it to the bucket's endpoint, such as oss-cn-hangzhou-internal.aliyuncs.com")
    }
    if (environment("OSS_ACCESS_KEY_ID") == nil) != (environment("OSS_ACCESS_KEY_SECRET") == nil) {
        if environment("OSS_ACCESS_KEY_ID") == nil {
            refuse("OSS_ACCESS_KEY_ID", "is not set but OSS_ACCESS_KEY_SECRET is; set both, or neither for a public bucket")
        }
        refuse("OSS_ACCESS_KEY_SECRET", "is not set but OSS_ACCESS_KEY_ID is; set both, or neither for a public bucket")
    }
}

private func checkAddresses() {
    guard let list = environment("HTTP_SOURCE_IP") else { return }
    withPath { address in
        var i = 0
        while true {
            let byte = list[i]
            if byte == 0 || byte == 0x2C {
                if ossc_is_ip_address(address.base) == 0 {
                    refuse("HTTP_SOURCE_IP", "is not a list of IP addresses; write addresses of this machine with commas between, such as 10.0.0.5,10.0.1.5")
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

private func checkModelDirectory() {
    guard let directory = environment("MODEL_DIR") else {
        refuse("MODEL_DIR", "is not set; set it to the directory where the program looks for the model")
    }
    guard directory[0] == slash else { refuse("MODEL_DIR", "is not an absolute path; begin it with /") }
    let length = withPath { path -> Int in
        appendNormalised(directory, to: &path)
        modelDirectory = keep(path.base)
        return path.count
    }
    guard length > 0, modelDirectory != nil else { refuse("MODEL_DIR", "is the root directory; name a directory below it") }
    let found = ossc_identify_path(modelDirectory, 1)
    if found.error == 0 && found.mode & UInt32(OSSC_TYPE_MASK) != UInt32(OSSC_TYPE_DIRECTORY) {
        refuse("MODEL_DIR", "exists and is not a directory; remove that file or name another directory")
    }
}

private func choosePaths() {
    withPath { path in
        if let root = environment("MODELCACHE_ROOT") {
            path.append(root)
        } else if ossc_getuid() == 0 {
            path.append("/run/modelcache")
        } else if let runtime = environment("XDG_RUNTIME_DIR") {
            path.append(runtime)
            path.append("/modelcache")
        } else {
            path.append("/dev/shm/modelcache-")
            path.append(number: UInt64(ossc_getuid()))
        }
        rootPath = keep(path.base)
        if let socket = environment("MODELCACHE_SOCKET") {
            path.clear()
            path.append(socket)
        } else {
            path.append("/agent.sock")
        }
        socketPath = keep(path.base)
        chooseVolume()
    }
    guard rootPath != nil, socketPath != nil else { refuse("MODELCACHE_ROOT", "cannot be used: no memory; free some") }
}

/// A ModelCache's socket lies in its volume, `<volume>/.modelcache/agent.sock`. The agent names the volume as the node sees it;
/// in a container it is mounted elsewhere, and there the socket was found.
private func chooseVolume() {
    let end = length(of: socketPath) - 23  // of "/.modelcache/agent.sock"
    guard socketPath[0] == slash, end > 0, equal(socketPath + end, "/.modelcache/agent.sock") else { return }
    withPath { path in
        path.append(socketPath, count: end)
        volumePath = keep(path.base)
    }
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
    checkModelDirectory()
    checkSource()
    checkAddresses()
    checkFaults()
    checkConfiguration()
    deadlineMilliseconds = seconds("MODELCACHE_DEADLINE_SECONDS", default: 300_000)
    agentDeadlineMilliseconds = seconds("MODELCACHE_AGENT_DEADLINE_SECONDS", default: volumePath == nil ? 30_000 : 60_000)
    ossc_claim_process()
    rememberLink()
    adoptInheritedDescriptors()
    ossc_register_fork_handlers()
    ossc_set_switch(UInt32(OSSC_ON))
}
