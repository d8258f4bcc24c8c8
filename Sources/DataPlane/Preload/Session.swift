import AgentWire
import PreloadShim

// The state of a model and its agent that the program's own threads see. The library's thread alone has the
// connection (Connection.swift): others wait for what it publishes and never hold a lock meanwhile, so that a fork or a
// signal handler finds none held.

/// Opens the model at first touch. A refusal ends the program with the agent's own message. A child of vfork, which can
/// have no thread, knows the model only when its parent does.
func ensureSession(_ cache: Cache) {
    if cache.isOpen { return }
    guard ensureThread() else { return }
    ossc_want_open(cache.pointee.index)
    signalThread()
    while !cache.isOpen { _ = ossc_futex_wait(ossc_cache_opened_word(cache), 0, 1000) }
}

/// Takes the cache directory and makes the model's directory lead there when it does not exist.
func accept(_ cache: Cache, _ directory: UnsafePointer<CChar>) {
    let model = cache.pointee.model_directory.unsafelyUnwrapped
    withPath { path in
        appendNormalised(cache.volume ?? directory, to: &path)
        guard let kept = keep(path.base) else { return }
        if ossc_identify_path(model, 0).error != 0 { link(model, to: kept) }
        let there = ossc_identify_path(model, 1), found = ossc_identify_path(kept, 1)
        let isSame = there.error == 0 && found.error == 0 && there.device == found.device && there.inode == found.inode
        ossc_cache_set_is_model_directory(cache, isSame ? 1 : 0)
        path.append("/.partial")
        if ossc_identify_path(path.base, 1).error != 0 {
            report(kept) {
                $0.append(
                    "this cache of the agent is not visible here: its mount is not in this program's mount namespace; ")
                $0.append("start the program where `ls ")
                $0.append(c: kept)
                $0.append("/.partial` lists the model, or make the mount below it shared (rslave)")
            }
        }
        ossc_cache_set_directory(cache, kept)
        ossc_cache_set_opened(cache, 1)
        ossc_futex_wake(ossc_cache_opened_word(cache))
    }
}

/// Where this fails (a read-only file system, say) path mapping alone serves the program.
private func link(_ model: UnsafePointer<CChar>, to target: UnsafePointer<CChar>) {
    withPath { parent in
        var i = 1
        while model[i] != 0 {
            if model[i] == slash {
                parent.clear()
                parent.append(model, count: i)
                _ = ossc_mkdir(parent.base, 0o755)
            }
            i += 1
        }
        _ = ossc_symlink(target, model)
    }
}

/// Asks for a range; false when there is no connection now. Nothing is lost: whoever waits asks again.
@discardableResult
func sendDemand(_ file: File, offset: UInt64, bytes: UInt64) -> Bool {
    guard let cache = ossc_file_cache(file) else { return false }
    var demand = mc_demand(file: file.pointee.index, reserved: 0, offset: offset, length: bytes)
    ossc_lock(descriptorsLock)
    let session = ossc_cache_session(cache)
    let isSent =
        session >= 0
        && ossc_send_packet(session, UInt16(MC_DEMAND.rawValue), &demand, MemoryLayout<mc_demand>.size) >= 0
    ossc_unlock(descriptorsLock)
    return isSent
}

/// The state of the agent, as a waiting thread learns it.
enum AgentHealth { case alive, gone(since: Int64), stopped }

func agentHealth(_ cache: Cache) -> AgentHealth {
    if ossc_cache_stopped(cache) != 0 { return .stopped }
    let since = ossc_cache_gone_since(cache)
    return since == 0 ? .alive : .gone(since: since)
}
