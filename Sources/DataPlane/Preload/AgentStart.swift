import PreloadShim

private let oCreateReadWriteCloseOnExec: Int32 = 0o2000102
private let waitForSocketMilliseconds: Int64 = 10_000

/// Starts an agent at first touch; answers a connection or ends the program with the reason.
func startAgent(_ connectError: Int) -> Int {
    // ENOENT, ECONNREFUSED: nobody is there. Anything else an agent would not cure.
    guard connectError == -2 || connectError == -111 else {
        report(socketPath) {
            $0.append("the agent's socket cannot be used (errno ")
            $0.append(number: UInt64(-connectError))
            $0.append("); correct its permissions or set MODELCACHE_SOCKET")
        }
        ossc_exit(ExitStatus.configuration)
    }
    checkDefaultConfiguration()
    return withPath { reason in
        let descriptor = tryStartAgent(&reason)
        if descriptor < 0 {
            report(nil) {
                $0.append("MODELCACHE_AGENT: ")
                $0.append(reason.base)
            }
            ossc_exit(ExitStatus.configuration)
        }
        return descriptor
    }
}

/// The node's agent serves a ModelCache's socket, and only it can: waits for it; answers a connection or ends the program.
func awaitAgent(_ connectError: Int) -> Int {
    var error = connectError
    report(socketPath, .warn) {
        $0.append("waiting up to ")
        $0.append(number: UInt64(agentDeadlineMilliseconds / 1000))
        $0.append(" s for the node's agent")
    }
    let deadline = ossc_now_milliseconds() + agentDeadlineMilliseconds
    while error < 0 && ossc_now_milliseconds() < deadline {
        ossc_sleep_milliseconds(100)
        error = Int(ossc_connect_seqpacket(socketPath))
    }
    if error >= 0 { return error }
    report(socketPath) {
        $0.append("no agent answers at the ModelCache's socket; see that the node's modelcache-agent pod runs and that the ModelCache's volume is mounted (`kubectl modelcache why` tells)")
    }
    ossc_exit(ExitStatus.configuration)
}

/// The agent started here would read it with this program's rights; one that runs already has read it with its own.
private func checkDefaultConfiguration() {
    guard environment("MODELCACHE_CONFIG") == nil else { return }
    literal("/etc/oss-connector/config.json") { path in
        guard ossc_identify_path(path, 1).error == 0, ossc_access(path, 4) < 0 else { return }
        report(path) { $0.append("exists but cannot be read; correct its permissions or name another file in MODELCACHE_CONFIG") }
        ossc_exit(ExitStatus.configuration)
    }
}

/// Starts an agent again where one can be had; a negative answer when not.
func restartAgent() -> Int {
    withPath { tryStartAgent(&$0) }
}

private func findAgent(_ path: inout Text) -> Bool {
    if let named = environment("MODELCACHE_AGENT") {
        path.append(named)
        return ossc_access(path.base, 1) == 0
    }
    if let own = ossc_own_path() {
        var folder = length(of: own)
        while folder > 0 && own[folder - 1] != slash { folder -= 1 }
        path.append(own, count: folder)
        path.append("../bin/modelcache")
        if ossc_access(path.base, 1) == 0 { return true }
        path.truncate(to: folder)
        path.append("modelcache")
    }
    return ossc_access(path.base, 1) == 0
}

private func tryStartAgent(_ reason: inout Text) -> Int {
    withPath { path in
        guard findAgent(&path) else {
            reason.append("no agent answers at ")
            reason.append(socketPath)
            reason.append(" and there is none to start at ")
            reason.append(path.base)
            reason.append("; start `modelcache agent` or set MODELCACHE_AGENT")
            return -2
        }
        return withPath { lockPath in
            lockPath.append(socketPath)
            var n = lockPath.count
            while n > 1 && lockPath.base[n - 1] != slash { n -= 1 }
            lockPath.truncate(to: n > 1 ? n - 1 : n)
            _ = ossc_mkdir(lockPath.base, 0o700)
            lockPath.append("/agent.lock")
            let lock = ossc_open(-100, lockPath.base, oCreateReadWriteCloseOnExec, 0o600)
            if lock >= 0 { _ = ossc_flock(Int32(lock), 2) }
            defer { if lock >= 0 { _ = ossc_close(Int32(lock)) } }
            // Another process may have started one while this one waited for the lock.
            let there = ossc_connect_seqpacket(socketPath)
            if there >= 0 { return there }
            return launch(path.base, &reason)
        }
    }
}

/// Calls `body` with a literal as a C string.
private func literal<R>(_ text: StaticString, _ body: (UnsafeMutablePointer<CChar>) -> R) -> R {
    text.utf8Start.withMemoryRebound(to: CChar.self, capacity: text.utf8CodeUnitCount + 1) { body(UnsafeMutablePointer(mutating: $0)) }
}

private func launch(_ path: UnsafeMutablePointer<CChar>, _ reason: inout Text) -> Int {
    let pipe = withUnsafeTemporaryAllocation(of: UnsafeMutablePointer<CChar>?.self, capacity: 8) { arguments -> Int in
        arguments[0] = path
        arguments[1] = literal("agent") { $0 }
        arguments[2] = literal("--idle-exit") { $0 }
        arguments[3] = literal("--socket") { $0 }
        arguments[4] = UnsafeMutablePointer(mutating: socketPath)
        arguments[5] = literal("--root") { $0 }
        arguments[6] = UnsafeMutablePointer(mutating: rootPath)
        arguments[7] = nil
        return withUnsafeTemporaryAllocation(of: UnsafePointer<CChar>?.self, capacity: 8) { removed in
            removed[0] = UnsafePointer(literal("LD_PRELOAD=") { $0 })
            removed[1] = UnsafePointer(literal("ENABLE_CONNECTOR=") { $0 })
            removed[2] = UnsafePointer(literal("OSS_ACCESS_KEY_") { $0 })
            removed[3] = UnsafePointer(literal("OSS_SESSION_TOKEN=") { $0 })
            removed[4] = UnsafePointer(literal("AWS_") { $0 })
            removed[5] = UnsafePointer(literal("OSS_SECURITY_TOKEN=") { $0 })
            removed[6] = UnsafePointer(literal("MODELCACHE_TOKEN=") { $0 })
            removed[7] = nil
            return ossc_spawn_agent(path, arguments.baseAddress, removed.baseAddress)
        }
    }
    guard pipe >= 0 else {
        reason.append("an agent could not be started; see the machine's process limit")
        return pipe
    }
    defer { _ = ossc_close(Int32(pipe)) }

    let began = ossc_now_milliseconds()
    var ended = false
    while ossc_now_milliseconds() - began < waitForSocketMilliseconds {
        let descriptor = ossc_connect_seqpacket(socketPath)
        if descriptor >= 0 { return descriptor }
        if ended {
            if reason.count > 0 { break }
            ossc_sleep_milliseconds(20)
            continue
        }
        var entry = ossc_poll(fd: Int32(pipe), events: 0)
        if ossc_poll_wait(&entry, 1, 20) > 0 {
            let n = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1024) { buffer -> Int in
                let n = ossc_read(Int32(pipe), buffer.baseAddress, 1023)
                if n > 0, let base = buffer.baseAddress {
                    // The last line is the one that says why it ended.
                    if reason.count + n > 2048 { reason.clear() }
                    reason.append(base, count: n)
                }
                return n
            }
            if n <= 0 { ended = true }
        }
    }
    while reason.count > 0 && reason.base[reason.count - 1] == 10 { reason.truncate(to: reason.count - 1) }
    if reason.count == 0 {
        reason.append("the agent that was started did not open ")
        reason.append(socketPath)
        reason.append(" within 10 s; run `modelcache doctor`")
    }
    return -110
}
