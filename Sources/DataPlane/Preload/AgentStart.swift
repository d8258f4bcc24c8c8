import PreloadShim

private let oCreateReadWriteCloseOnExec: Int32 = 0o2000102

/// The agent started here would read it with this program's rights; one that runs already has read it with its own.
func checkDefaultConfiguration() {
    guard environment("MODELCACHE_CONFIG") == nil else { return }
    literal("/etc/oss-connector/config.json") { path in
        guard ossc_identify_path(path, 1).error == 0, ossc_access(path, 4) < 0 else { return }
        report(path) {
            $0.append("exists but cannot be read; correct its permissions or name another file in MODELCACHE_CONFIG")
        }
        ossc_exit(ExitStatus.configuration)
    }
}

private func findAgent(_ path: inout Text) -> Bool {
    if let named = environment("MODELCACHE_AGENT") {
        path.append(c: named)
        return ossc_access(path.base, 1) == 0
    }
    if let own = libraryPath {
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

/// How starting an agent went: it runs and its standard error is `pipe`; another program is at it; or it cannot be
/// done.
enum Launch { case started(pipe: Int32, lock: Int32), busy, impossible }

/// Starts an agent; `reason` says why it cannot be done. Waits for nothing but the kernel.
func launch(at socket: UnsafePointer<CChar>, _ reason: inout Text) -> Launch {
    withPath { path in
        guard findAgent(&path) else {
            reason.append("no agent answers at ")
            reason.append(c: socket)
            reason.append(" and there is none to start at ")
            reason.append(c: path.base)
            reason.append("; start `modelcache agent` or set MODELCACHE_AGENT")
            return .impossible
        }
        return withPath { lockPath in
            lockPath.append(c: socket)
            var n = lockPath.count
            while n > 1 && lockPath.base[n - 1] != slash { n -= 1 }
            lockPath.truncate(to: n > 1 ? n - 1 : n)
            _ = ossc_mkdir(lockPath.base, 0o700)
            lockPath.append("/agent.lock")
            let lock = Int32(ossc_open(-100, lockPath.base, oCreateReadWriteCloseOnExec, 0o600))
            // LOCK_EX | LOCK_NB; EWOULDBLOCK: another program starts one now.
            if lock >= 0, ossc_flock(lock, 6) == -11 {
                _ = ossc_close(lock)
                return .busy
            }
            let pipe = spawn(path.base, socket)
            if pipe >= 0 { return .started(pipe: Int32(pipe), lock: lock) }
            if lock >= 0 { _ = ossc_close(lock) }
            reason.append("an agent could not be started; see the machine's process limit")
            return .impossible
        }
    }
}

/// The pipe of its standard error, or -errno. A daemon outlives its starter and serves others: it gets what says where
/// it runs, and neither the program's libraries (LD_PRELOAD, LD_AUDIT) nor its keys.
private func spawn(_ path: UnsafeMutablePointer<CChar>, _ socket: UnsafePointer<CChar>) -> Int {
    withBuffer { buffer in
        let arguments = buffer.assumingMemoryBound(to: UnsafeMutablePointer<CChar>?.self)
        arguments[0] = path
        arguments[1] = literal("agent") { $0 }
        arguments[2] = literal("--idle-exit") { $0 }
        arguments[3] = literal("--socket") { $0 }
        arguments[4] = UnsafeMutablePointer(mutating: socket)
        arguments[5] = literal("--root") { $0 }
        arguments[6] = UnsafeMutablePointer(mutating: rootPath)
        arguments[7] = nil
        let kept = (buffer + 128).assumingMemoryBound(to: UnsafePointer<CChar>?.self)
        var count = 0
        func keep(_ name: StaticString) {
            kept[count] = UnsafePointer(literal(name) { $0 })
            count += 1
        }
        keep("PATH=")
        keep("HOME=")
        keep("USER=")
        keep("LOGNAME=")
        keep("LANG=")
        keep("LC_")
        keep("TZ=")
        keep("TMPDIR=")
        keep("XDG_RUNTIME_DIR=")
        keep("SSL_CERT_FILE=")
        keep("SSL_CERT_DIR=")
        keep("HTTP_SOURCE_IP=")
        keep("HTTPS_PROXY=")
        keep("https_proxy=")
        keep("HTTP_PROXY=")
        keep("http_proxy=")
        keep("ALL_PROXY=")
        keep("all_proxy=")
        keep("NO_PROXY=")
        keep("no_proxy=")
        keep("MODELCACHE_")
        kept[count] = nil
        return ossc_spawn_agent(path, arguments, kept)
    }
}
