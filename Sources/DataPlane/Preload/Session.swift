import AgentWire
import PreloadShim

// The connection to the agent, shared by every thread.

/// Written under OSSC_LOCK_SESSION. The thread polls it unlocked: a stale number wakes it for nothing.
nonisolated(unsafe) var sessionDescriptor: Int32 = -1
/// Written once, after the five below, under OSSC_LOCK_SESSION, and only read afterwards.
nonisolated(unsafe) var cacheDirectory: UnsafePointer<CChar>? = nil
/// Written once before `cacheDirectory` is set, only read afterwards.
nonisolated(unsafe) var cacheDirectoryLength = 0
/// Written once before `cacheDirectory` is set, only read afterwards. enum mc_opened_flags.
nonisolated(unsafe) var cacheFlags: UInt32 = 0
/// MODEL_DIR leads to the cache directory itself. Written once before `cacheDirectory` is set, only read afterwards.
nonisolated(unsafe) var modelDirectoryIsCache = false
/// Where MODEL_DIR pointed when the library was loaded: a working directory may lie there already. Written
/// once before the switch is turned on.
nonisolated(unsafe) var earlierCacheDirectory: UnsafePointer<CChar>? = nil
/// Written once under OSSC_LOCK_SESSION before any mapping is registered; moved by dup2 under OSSC_LOCK_REGIONS too.
nonisolated(unsafe) var userfaultDescriptor: Int32 = -1
/// Written once before `userfaultDescriptor`.
nonisolated(unsafe) var userfaultFeatures: UInt32 = 0
/// Guarded by OSSC_LOCK_SESSION.
nonisolated(unsafe) private var userfaultTried = false
/// Guarded by OSSC_LOCK_SESSION: identity of the manifest that this process reads.
nonisolated(unsafe) private var generation: (UInt64, UInt64) = (0, 0)
/// Guarded by OSSC_LOCK_SESSION.
nonisolated(unsafe) private var opened = false
/// The source changed or the agent refuses: nothing more may be waited for. Written under OSSC_LOCK_SESSION,
/// read without: it only ever turns true, and waiting readers look each second.
nonisolated(unsafe) private(set) var sessionStopped = false
/// Guarded by OSSC_LOCK_SESSION: when the agent was first found gone, 0 while it is there.
nonisolated(unsafe) private var goneSince: Int64 = 0
/// Guarded by OSSC_LOCK_SESSION.
nonisolated(unsafe) private var lastAttempt: Int64 = 0

private let sessionLock = Int32(OSSC_LOCK_SESSION)

private enum Answer { case opened, refused(UInt32), lost }

/// Opens the model at first touch. A refusal ends the program with the agent's own message.
func ensureSession() {
    if cacheDirectory != nil { return }
    ossc_lock(sessionLock)
    if cacheDirectory == nil {
        var descriptor = ossc_connect_seqpacket(socketPath)
        if descriptor < 0, acceptWhole(descriptor) {
            ossc_unlock(sessionLock)
            return
        }
        if descriptor < 0 { descriptor = volumePath == nil ? startAgent(descriptor) : awaitAgent(descriptor) }
        withBuffer { message in
            switch open(Int32(descriptor), &message, patience: deadlineMilliseconds) {
            case .opened: break
            case .refused:
                report(nil) { $0.append(message.base) }
                ossc_exit(ExitStatus.configuration)
            case .lost:
                report(socketPath) { $0.append("the agent closed the connection without an answer; see its log, then start again") }
                ossc_exit(ExitStatus.configuration)
            }
        }
    }
    ossc_unlock(sessionLock)
}

private func withBuffer<R>(_ body: (inout Text) -> R) -> R { withPath(body) }

/// Sends MC_OPEN on a fresh connection and takes the answer, waiting up to `patience` milliseconds. `message`
/// gets a refusal's text. The lock is held.
private func open(_ connected: Int32, _ message: inout Text, patience: Int64) -> Answer {
    // High numbers, so that a program's own first descriptors stay the ones it expects.
    let moved = ossc_duplicate_above(connected, 512)
    let descriptor = moved < 0 ? connected : Int32(moved)
    if moved >= 0 { _ = ossc_close(connected) }

    guard sendSettings(descriptor) else {
        _ = ossc_close(descriptor)
        return .lost
    }
    var device: Int32 = -1
    let headerBytes = MemoryLayout<mc_header>.size
    let answer = withUnsafeTemporaryAllocation(byteCount: 8192, alignment: 16) { buffer -> Answer in
        let base = buffer.baseAddress.unsafelyUnwrapped
        var entry = ossc_poll(fd: descriptor, events: 0)
        var waited: Int64 = 0
        while ossc_poll_wait(&entry, 1, 1000) <= 0 {
            waited += 1000
            if waited >= patience { return .lost }
        }
        let n = ossc_receive_packet(descriptor, base, 8191, &device, 0)
        guard n >= headerBytes + MemoryLayout<mc_error>.size else { return .lost }
        base.storeBytes(of: 0, toByteOffset: n, as: UInt8.self)
        let header = base.load(as: mc_header.self)
        guard header.magic == MC_WIRE_MAGIC, header.version == UInt16(MC_WIRE_VERSION) else { return .lost }
        if header.type == UInt16(MC_ERROR.rawValue) {
            let error = base.load(fromByteOffset: headerBytes, as: mc_error.self)
            message.append((base + headerBytes + MemoryLayout<mc_error>.size).assumingMemoryBound(to: CChar.self))
            return .refused(error.code)
        }
        guard header.type == UInt16(MC_OPENED.rawValue), n > headerBytes + MemoryLayout<mc_opened>.size else { return .lost }
        let body = base + headerBytes
        let first = body.load(fromByteOffset: 16, as: UInt64.self)
        let second = body.load(fromByteOffset: 24, as: UInt64.self)
        if opened && (first != generation.0 || second != generation.1) {
            message.append("the model at the source changed while it was being read; start the program again")
            return .refused(UInt32(MC_ERROR_INTERNAL.rawValue))
        }
        generation = (first, second)
        if cacheDirectory == nil {
            cacheFlags = body.load(as: mc_opened.self).flags
            accept(UnsafePointer((body + MemoryLayout<mc_opened>.size).assumingMemoryBound(to: CChar.self)))
        }
        return .opened
    }
    if case .opened = answer {
        createUserfault(device)
        opened = true
        goneSince = 0
        sessionDescriptor = descriptor
        _ = ossc_send_packet(descriptor, UInt16(MC_SUBSCRIBE.rawValue), nil, 0, 1)
    } else {
        _ = ossc_close(descriptor)
    }
    if device >= 0 { _ = ossc_close(device) }
    return answer
}

/// One packet holds all settings; more than that ends the program with the variable that is too much.
private func sendSettings(_ descriptor: Int32) -> Bool {
    let limit = Int(MC_WIRE_MAX_PACKET) - MemoryLayout<mc_header>.size
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(MC_WIRE_MAX_PACKET)) { buffer in
        var body = Text(buffer)
        appendToken(&body)
        var entry = ossc_environment_all()
        while let list = entry, let variable = list.pointee {
            if isSetting(variable) {
                guard body.count + length(of: variable) + 1 <= limit else { refuseTooLong(variable) }
                body.append(variable)
                body.append(0)
            }
            entry = list + 1
        }
        return ossc_send_packet(descriptor, UInt16(MC_OPEN.rawValue), body.base, body.count, 1) >= 0
    }
}

private func isSetting(_ variable: UnsafePointer<CChar>) -> Bool {
    // The token comes from its file alone, which is renewed.
    if hasPrefix(variable, "MODELCACHE_TOKEN=") { return false }
    return hasPrefix(variable, "OSS_") || hasPrefix(variable, "AWS_") || hasPrefix(variable, "MODELCACHE_")
        || hasPrefix(variable, "MODEL_DIR=") || hasPrefix(variable, "HTTP_SOURCE_IP=")
}

/// Names the variable, never its value.
private func refuseTooLong(_ variable: UnsafePointer<CChar>) -> Never {
    report(nil) {
        $0.append(variable, count: min(find("=", in: variable) ?? 0, 256))
        $0.append(": does not fit: the OSS_, AWS_ and MODELCACHE_ variables together may hold 64 KiB; shorten it or unset those not needed")
    }
    ossc_exit(ExitStatus.configuration)
}

/// The node's agent is away and the model is whole: the program needs nothing of it. `connectError` is what connecting said.
/// The lock is held.
private func acceptWhole(_ connectError: Int) -> Bool {
    // ENOENT, ECONNREFUSED: nobody is there.
    guard connectError == -2 || connectError == -111, let volume = volumePath, let whole = wholeGeneration(of: volume) else { return false }
    report(socketPath, .warn) { $0.append("no agent answers, but every file of the model is there and verified: going on without it") }
    generation = whole
    opened = true
    accept(volume)
    return true
}

/// Takes the cache directory and makes MODEL_DIR lead there when it does not exist.
private func accept(_ directory: UnsafePointer<CChar>) {
    withPath { path in
        appendNormalised(volumePath ?? directory, to: &path)
        let kept = keep(path.base)
        cacheDirectoryLength = path.count
        if ossc_identify_path(modelDirectory, 0).error != 0, let kept {
            linkModelDirectory(to: kept)
        }
        let there = ossc_identify_path(modelDirectory, 1)
        let cache = ossc_identify_path(kept, 1)
        modelDirectoryIsCache = there.error == 0 && there.device == cache.device && there.inode == cache.inode
        cacheDirectory = kept
    }
}

/// Where this fails (a read-only file system, say) path mapping alone serves the program.
private func linkModelDirectory(to target: UnsafePointer<CChar>) {
    withPath { parent in
        var i = 1
        while modelDirectory[i] != 0 {
            if modelDirectory[i] == slash {
                parent.clear()
                parent.append(modelDirectory, count: i)
                _ = ossc_mkdir(parent.base, 0o755)
            }
            i += 1
        }
        _ = ossc_symlink(target, modelDirectory)
    }
}

private func createUserfault(_ device: Int32) {
    if userfaultTried || faultsBlock || cacheFlags & UInt32(MC_OPENED_DISK.rawValue) != 0 { return }
    userfaultTried = true
    var features: UInt32 = 0
    let made = ossc_uffd_create(device, &features)
    guard made >= 0 else { return }
    let moved = ossc_duplicate_above(Int32(made), 512)
    if moved >= 0 { _ = ossc_close(Int32(made)) }
    userfaultFeatures = features
    userfaultDescriptor = Int32(moved >= 0 ? moved : made)
}

/// Asks for a range. Nothing is lost when it cannot be sent now: whoever waits asks again each second.
func sendDemand(_ file: UnsafeMutablePointer<ossc_file>, offset: UInt64, bytes: UInt64) {
    // Held for microseconds by those who send, for seconds by one who makes a new connection: not waited for.
    var tries = 0
    while ossc_try_lock(sessionLock) == 0 {
        tries += 1
        if tries > 20 { return }
        ossc_sleep_milliseconds(0)
    }
    defer { ossc_unlock(sessionLock) }
    guard sessionDescriptor >= 0 else { return }
    var demand = mc_demand(file: file.pointee.index, reserved: 0, offset: offset, length: bytes)
    _ = ossc_send_packet(sessionDescriptor, UInt16(MC_DEMAND.rawValue), &demand, MemoryLayout<mc_demand>.size, 0)
}

/// What a waiting thread learns of the agent.
enum AgentHealth { case alive, gone(milliseconds: Int64), stopped }

/// Looks whether the connection lives and, at most once in 200 ms, makes a new one. Never waits for
/// another thread that is at it.
func keepSession() -> AgentHealth {
    if sessionStopped { return .stopped }
    guard ossc_try_lock(sessionLock) != 0 else { return .alive }
    defer { ossc_unlock(sessionLock) }
    if sessionDescriptor >= 0 && !drainNotices() { return .alive }
    let now = ossc_now_milliseconds()
    if goneSince == 0 { goneSince = now }
    if now - lastAttempt < 200 { return .gone(milliseconds: now - goneSince) }
    lastAttempt = now
    var descriptor = ossc_connect_seqpacket(socketPath)
    if descriptor < 0 && volumePath == nil { descriptor = restartAgent() }
    guard descriptor >= 0 else { return .gone(milliseconds: ossc_now_milliseconds() - goneSince) }
    return withPath { message in
        switch open(Int32(descriptor), &message, patience: deadlineMilliseconds) {
        case .opened:
            signalThread()
            return .alive
        case .refused(let code) where code == UInt32(MC_ERROR_UNREACHABLE.rawValue):
            return .gone(milliseconds: ossc_now_milliseconds() - goneSince)
        case .refused:
            report(nil) { $0.append(message.base) }
            sessionStopped = true
            return .stopped
        case .lost:
            return .gone(milliseconds: ossc_now_milliseconds() - goneSince)
        }
    }
}

/// Takes pending packets off the connection; true when the peer has closed it. The session's lock is held.
private func drainNotices() -> Bool {
    withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 16) { buffer in
        while true {
            var passed: Int32 = -1
            let n = ossc_receive_packet(sessionDescriptor, buffer.baseAddress, 1024, &passed, 0)
            if passed >= 0 { _ = ossc_close(passed) }
            if n > 0 { continue }
            if n == -11 { return false }  // EAGAIN: nothing there
            _ = ossc_close(sessionDescriptor)
            sessionDescriptor = -1
            return true
        }
    }
}

/// In a forked child: a connection where one can be had at once. The thread goes on trying.
func connectAfterFork() {
    if sessionStopped { return }
    ossc_lock(sessionLock)
    let descriptor = ossc_connect_seqpacket(socketPath)
    if descriptor >= 0 { withPath { _ = open(Int32(descriptor), &$0, patience: 2000) } }
    ossc_unlock(sessionLock)
}

/// In a forked child: the connection and the userfaultfd are the parent's.
func dropSessionAfterFork() {
    if sessionDescriptor >= 0 { _ = ossc_close(sessionDescriptor) }
    if userfaultDescriptor >= 0 { _ = ossc_close(userfaultDescriptor) }
    sessionDescriptor = -1
    userfaultDescriptor = -1
    userfaultTried = false
    goneSince = 0
    lastAttempt = 0
}
