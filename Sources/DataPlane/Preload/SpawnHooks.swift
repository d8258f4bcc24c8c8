import PreloadShim

// posix_spawn. Its file actions copy and close descriptors in the child by calls that pass no hook. The child gets
// actions of the library's own: the program's, and beside each copy of a managed number a copy of the readable one, to
// where the program that the child becomes looks for it (Descriptors.swift). Closing all numbers from one on goes
// around those, and so do single closings. Where the place beside a number is not free, or the program puts something
// there, the file is waited for as a whole, and the number is readable.

// posix_spawn_file_actions_t of glibc: allocated, used, the actions, space; each action a tag and, from byte 8, its
// numbers.
private let usedOffset = 4, actionsOffset = 8, listBytes = 80, actionBytes = 32
private let closeTag: Int32 = 0, dup2Tag: Int32 = 1, openTag: Int32 = 2
private let fchdirTag: Int32 = 4, closeFromTag: Int32 = 5, tcsetpgrpTag: Int32 = 6

/// A number of the child's, after the actions so far.
private struct ChildNumber {
    var number: Int32
    /// The readable descriptor, a number of the child's too; -1: it is not managed there.
    var readable: Int32
    /// exec does not close it.
    var stays: Bool
    var file: File?
}

/// The actions of the library's own, while they are made. Its memory lasts for the call.
private struct SpawnActions {
    private let theirs: UnsafeRawPointer
    private let count: Int
    private let list: UnsafeMutableRawPointer
    private let made: UnsafeMutableRawPointer
    private let numbers: UnsafeMutablePointer<ChildNumber>
    private let capacity: Int
    private var used = 0
    private var known = 0
    /// The child has closed its numbers from here on, but those it got later.
    private var closedFrom = Int32.max
    /// Something of a managed number is copied or closed.
    private(set) var differ = false

    /// Actions and numbers that `actions` may need at most; 0: none of them concerns a managed number.
    static func needed(_ actions: UnsafeRawPointer) -> Int {
        let used = Int(actions.load(fromByteOffset: usedOffset, as: Int32.self))
        guard used > 0, let theirs = actions.load(fromByteOffset: actionsOffset, as: UnsafeRawPointer?.self) else {
            return 0
        }
        var managed = 0
        for number in 0..<Int32(OSSC_DESCRIPTORS) where ossc_managed(number) != nil { managed += 1 }
        if managed == 0 { return 0 }
        var closings = 0
        for i in 0..<used where theirs.load(fromByteOffset: i * actionBytes, as: Int32.self) == closeFromTag {
            closings += 1
        }
        return 4 * used + 2 * managed + closings * (Int(hiddenBase) + 3 * managed + 2)
    }

    static func bytes(_ capacity: Int) -> Int {
        listBytes + capacity * (actionBytes + MemoryLayout<ChildNumber>.stride)
    }

    init?(_ actions: UnsafeRawPointer, _ memory: UnsafeMutableRawPointer, _ capacity: Int) {
        guard let theirs = actions.load(fromByteOffset: actionsOffset, as: UnsafeRawPointer?.self) else { return nil }
        self.theirs = theirs
        count = Int(actions.load(fromByteOffset: usedOffset, as: Int32.self))
        list = memory
        made = memory + listBytes
        numbers = (made + capacity * actionBytes).assumingMemoryBound(to: ChildNumber.self)
        self.capacity = capacity
    }

    /// posix_spawn_file_actions_t of what was made.
    var finished: UnsafeRawPointer {
        list.storeBytes(of: Int32(capacity), toByteOffset: 0, as: Int32.self)
        list.storeBytes(of: Int32(used), toByteOffset: usedOffset, as: Int32.self)
        list.storeBytes(of: UnsafeRawPointer(made), toByteOffset: actionsOffset, as: UnsafeRawPointer.self)
        return UnsafeRawPointer(list)
    }

    /// 0, or the errno of a wait.
    mutating func make() -> Int32 {
        for i in 0..<count {
            let action = theirs + i * actionBytes
            let first = action.load(fromByteOffset: 8, as: Int32.self)
            switch action.load(as: Int32.self) {
            case dup2Tag:
                let error = copy(action, first, action.load(fromByteOffset: 12, as: Int32.self), i)
                if error != 0 { return error }
            case closeTag:
                // The program never opened a readable descriptor. It goes when the number does that it lies beside.
                if owner(of: first) != nil {
                    differ = true
                } else {
                    add(action)
                    forget(first)
                }
            case openTag:
                let error = vacate(first, i)
                if error != 0 { return error }
                add(action)
                forget(first)
            case closeFromTag:
                let error = closeFrom(first, i)
                if error != 0 { return error }
            default:
                add(action)
            }
        }
        return 0
    }

    /// To be called when the child has been made: its readable descriptors stay open so long.
    func leave() {
        for i in 0..<known { if let file = numbers[i].file { ossc_file_leave(file) } }
    }

    // MARK: Numbers

    /// The number as it is in the child now; nil: not managed.
    private mutating func managed(_ number: Int32) -> ChildNumber? {
        for i in 0..<known where numbers[i].number == number { return numbers[i].readable < 0 ? nil : numbers[i] }
        guard number < closedFrom, ossc_may_be_managed(number) != 0, known < capacity,
            case .managed(let file, let readable) = reading(number)
        else { return nil }
        let stays = ossc_control(number, 1, 0) & 1 == 0  // F_GETFD
        numbers[known] = ChildNumber(number: number, readable: readable, stays: stays, file: file)
        known += 1
        return numbers[known - 1]
    }

    /// The managed number whose readable descriptor is `number` in the child now.
    private mutating func owner(of number: Int32) -> ChildNumber? {
        guard number >= 0 else { return nil }
        for i in 0..<known where numbers[i].readable == number { return numbers[i] }
        guard ossc_is_own(number) != 0 else { return nil }
        for other in 0..<Int32(OSSC_DESCRIPTORS) where ossc_managed(other) != nil && ossc_hidden(other) == number {
            guard let found = managed(other), found.readable == number else { return nil }
            return found
        }
        return nil
    }

    /// The former file of the number stays held: an action before this one may copy its readable descriptor.
    private mutating func set(_ number: Int32, _ readable: Int32, _ file: File?) {
        for i in 0..<known where numbers[i].number == number {
            numbers[i].number = -1
            numbers[i].readable = -1
        }
        guard known < capacity else { return }
        if let file { ossc_file_enter(file) }
        numbers[known] = ChildNumber(number: number, readable: readable, stays: true, file: file)
        known += 1
    }

    private mutating func forget(_ number: Int32) {
        guard let gone = managed(number) else { return set(number, -1, nil) }
        if gone.readable == hiddenBase + number { add(closeTag, gone.readable, 0) }
        set(number, -1, nil)
        differ = true
    }

    // MARK: Actions

    private mutating func add(_ action: UnsafeRawPointer) {
        guard used < capacity else { return }
        (made + used * actionBytes).copyMemory(from: action, byteCount: actionBytes)
        used += 1
    }

    private mutating func add(_ tag: Int32, _ first: Int32, _ second: Int32) {
        guard used < capacity else { return }
        let action = made + used * actionBytes
        action.storeBytes(of: tag, as: Int32.self)
        action.storeBytes(of: first, toByteOffset: 8, as: Int32.self)
        action.storeBytes(of: second, toByteOffset: 12, as: Int32.self)
        used += 1
    }

    private mutating func copy(_ action: UnsafeRawPointer, _ from: Int32, _ to: Int32, _ index: Int) -> Int32 {
        let error = vacate(to, index)
        if error != 0 { return error }
        let source = managed(from)
        if source == nil || from != to { forget(to) }
        add(action)
        guard let source, let file = source.file else { return 0 }
        return pair(to, source.readable, file, index)
    }

    /// `to` is a managed number from now on, with a copy of `readable` beside it.
    private mutating func pair(_ to: Int32, _ readable: Int32, _ file: File, _ index: Int) -> Int32 {
        differ = true
        let beside = hiddenBase + to
        if isFree(beside, to, after: index) {
            add(dup2Tag, readable, beside)
            set(to, beside, file)
            return 0
        }
        return makeReadable(to, readable, file)
    }

    /// Waits for the whole file.
    private mutating func makeReadable(_ to: Int32, _ readable: Int32, _ file: File) -> Int32 {
        let error = waitVisible(file, offset: 0, bytes: file.pointee.bytes)
        if error == 0 {
            add(dup2Tag, readable, to)
            set(to, -1, nil)
        }
        return error
    }

    /// Before something of the program's takes the place of a readable descriptor.
    private mutating func vacate(_ number: Int32, _ index: Int) -> Int32 {
        guard let owner = owner(of: number), let file = owner.file else { return 0 }
        differ = true
        if owner.stays || isCopied(owner.number, after: index) {
            return makeReadable(owner.number, owner.readable, file)
        }
        set(owner.number, -1, nil)
        return 0
    }

    private func isCopied(_ number: Int32, after index: Int) -> Bool {
        for i in index..<count {
            let action = theirs + i * actionBytes
            if action.load(as: Int32.self) == dup2Tag, action.load(fromByteOffset: 8, as: Int32.self) == number {
                return true
            }
        }
        return false
    }

    /// Whether an action puts something of the program's at `number`, or uses it.
    private func isNamed(_ number: Int32) -> Bool {
        for i in 0..<count {
            let action = theirs + i * actionBytes
            switch action.load(as: Int32.self) {
            case dup2Tag:
                if action.load(fromByteOffset: 12, as: Int32.self) == number { return true }
            case openTag, fchdirTag, tcsetpgrpTag:
                if action.load(fromByteOffset: 8, as: Int32.self) == number { return true }
            default: break
            }
        }
        return false
    }

    /// Whether nothing that the child needs is at `beside`.
    private func isFree(_ beside: Int32, _ to: Int32, after index: Int) -> Bool {
        guard UInt64(max(beside, 0)) < ossc_descriptor_limit(), !isNamed(beside) else { return false }
        if beside == ossc_hidden(to), ossc_managed(to) != nil { return true }
        for i in 0..<known where numbers[i].readable == beside { return numbers[i].number == to }
        if beside >= closedFrom { return true }
        let flags = ossc_control(beside, 1, 0)  // F_GETFD
        if flags < 0 { return true }
        guard flags & 1 != 0 else { return false }
        for i in index..<count {
            let action = theirs + i * actionBytes
            guard action.load(as: Int32.self) == dup2Tag else { continue }
            let from = action.load(fromByteOffset: 8, as: Int32.self)
            if from == beside || ossc_managed(from) != nil && ossc_hidden(from) == beside { return false }
        }
        return true
    }

    /// Closes all from `first` on but the readable descriptors beside numbers below, which the child keeps.
    private mutating func closeFrom(_ first: Int32, _ index: Int) -> Int32 {
        var top = first
        for number in 0..<min(max(first, 0), Int32(OSSC_DESCRIPTORS)) {
            guard let kept = managed(number), let file = kept.file else { continue }
            if kept.readable != hiddenBase + number {
                let error = pair(number, kept.readable, file, index)
                if error != 0 { return error }
            }
            if managed(number)?.readable == hiddenBase + number, hiddenBase + number >= first {
                top = hiddenBase + number + 1
            }
        }
        if top > first { differ = true }
        let limit = ossc_descriptor_limit()
        for number in max(first, 0)..<max(top, 0) where !isBesideKept(number, first) {
            if UInt64(number) < limit || isOpenAboveLimit(number) { add(closeTag, number, 0) }
        }
        add(closeFromTag, top, 0)
        for i in 0..<known where numbers[i].number >= first { numbers[i].readable = -1 }
        closedFrom = min(closedFrom, first)
        return 0
    }

    /// To close a number at or above the limit that is not open is an error to the C library.
    private func isOpenAboveLimit(_ number: Int32) -> Bool {
        if number >= closedFrom { return false }
        for i in 0..<used {
            let action = made + i * actionBytes
            if action.load(as: Int32.self) == closeTag, action.load(fromByteOffset: 8, as: Int32.self) == number {
                return false
            }
        }
        return ossc_control(number, 1, 0) >= 0  // F_GETFD
    }

    private func isBesideKept(_ number: Int32, _ first: Int32) -> Bool {
        for i in 0..<known where numbers[i].readable == number { return numbers[i].number < first }
        return false
    }
}

@inline(__always)
private func spawning(_ actions: UnsafeRawPointer?, _ call: (UnsafeRawPointer?) -> Int32) -> Int32 {
    guard let actions, hasKnownFiles else { return call(actions) }
    return spawningWithPairs(actions, call)
}

@inline(never)
private func spawningWithPairs(_ actions: UnsafeRawPointer, _ call: (UnsafeRawPointer?) -> Int32) -> Int32 {
    let capacity = SpawnActions.needed(actions)
    if capacity == 0 { return call(actions) }
    let result = withMappedBytes(SpawnActions.bytes(capacity)) { memory -> Int32 in
        guard var own = SpawnActions(actions, memory, capacity) else { return call(actions) }
        let error = own.make()
        let result = error != 0 ? error : call(own.differ ? own.finished : actions)
        own.leave()
        return result
    }
    return result ?? 12  // ENOMEM
}

@_cdecl("posix_spawn")
public func hook_posix_spawn(
    _ process: UnsafeMutablePointer<Int32>?, _ path: UnsafePointer<CChar>?, _ actions: UnsafeRawPointer?,
    _ attributes: UnsafeRawPointer?,
    _ arguments: UnsafePointer<UnsafeMutablePointer<CChar>?>?,
    _ environment: UnsafePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
    spawning(actions) { next_posix_spawn(process, path, $0, attributes, arguments, environment) }
}

@_cdecl("posix_spawnp")
public func hook_posix_spawnp(
    _ process: UnsafeMutablePointer<Int32>?, _ path: UnsafePointer<CChar>?, _ actions: UnsafeRawPointer?,
    _ attributes: UnsafeRawPointer?,
    _ arguments: UnsafePointer<UnsafeMutablePointer<CChar>?>?,
    _ environment: UnsafePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
    spawning(actions) { next_posix_spawnp(process, path, $0, attributes, arguments, environment) }
}
