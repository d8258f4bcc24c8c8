import PreloadShim

// posix_spawn. Its file actions copy descriptors in the child by calls that pass no hook: for each copy of a managed
// number the readable one beside it is copied too, to where the program that the child becomes looks for it.

// posix_spawn_file_actions_t of glibc: allocated, used, the actions; each a tag and, from byte 8, its numbers.
private let usedOffset = 4, actionsOffset = 8, actionBytes = 32, dup2Tag: Int32 = 1

@inline(__always)
private func spawning(_ actions: UnsafeRawPointer?, _ call: () -> Int32) -> Int32 {
    guard let actions, hasKnownFiles else { return call() }
    return spawningWithPairs(UnsafeMutableRawPointer(mutating: actions), call)
}

@inline(never)
private func spawningWithPairs(_ actions: UnsafeMutableRawPointer, _ call: () -> Int32) -> Int32 {
    let used = actions.load(fromByteOffset: usedOffset, as: Int32.self)
    return withBuffer { buffer in
        // Each is held until the child has been made: its readable descriptor stays open so long.
        let held = buffer.assumingMemoryBound(to: Optional<File>.self)
        var count = 0
        for i in 0..<Int(used) where count < bufferBytes / 8 {
            guard let list = actions.load(fromByteOffset: actionsOffset, as: UnsafeRawPointer?.self) else { break }
            let action = list + i * actionBytes
            guard action.load(as: Int32.self) == dup2Tag else { continue }
            let from = action.load(fromByteOffset: 8, as: Int32.self),
                to = action.load(fromByteOffset: 12, as: Int32.self)
            guard ossc_may_be_managed(from) != 0, case .managed(let file, let readable) = reading(from) else {
                continue
            }
            held[count] = file
            count += 1
            _ = next_posix_spawn_file_actions_adddup2(actions, readable, hiddenBase + to)
        }
        let result = call()
        actions.storeBytes(of: used, toByteOffset: usedOffset, as: Int32.self)
        for i in 0..<count { if let file = held[i] { ossc_file_leave(file) } }
        return result
    }
}

@_cdecl("posix_spawn")
public func hook_posix_spawn(
    _ process: UnsafeMutablePointer<Int32>?, _ path: UnsafePointer<CChar>?, _ actions: UnsafeRawPointer?,
    _ attributes: UnsafeRawPointer?,
    _ arguments: UnsafePointer<UnsafeMutablePointer<CChar>?>?,
    _ environment: UnsafePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
    spawning(actions) { next_posix_spawn(process, path, actions, attributes, arguments, environment) }
}

@_cdecl("posix_spawnp")
public func hook_posix_spawnp(
    _ process: UnsafeMutablePointer<Int32>?, _ path: UnsafePointer<CChar>?, _ actions: UnsafeRawPointer?,
    _ attributes: UnsafeRawPointer?,
    _ arguments: UnsafePointer<UnsafeMutablePointer<CChar>?>?,
    _ environment: UnsafePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
    spawning(actions) { next_posix_spawnp(process, path, actions, attributes, arguments, environment) }
}
