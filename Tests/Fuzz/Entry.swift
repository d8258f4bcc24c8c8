import Dispatch
import Glibc

/// One parser of bytes that somebody else wrote, and what must hold of what it gives back.
struct Target: Sendable {
    let name: String
    /// Reads the bytes; traps where a promise is broken.
    let run: @Sendable ([UInt8]) -> Void
}

let targets: [Target] = storeTargets + nodeTargets + cacheTargets + clusterTargets + operatorTargets + roleTargets

/// The target that `MODELCACHE_FUZZ_TARGET` names: libFuzzer itself reads the command line.
private let chosen: Target? = {
    let name = getenv("MODELCACHE_FUZZ_TARGET").map { String(cString: $0) } ?? ""
    return targets.first { $0.name == name }
}()

/// Without a known target, prints their names: https://llvm.org/docs/LibFuzzer.html#startup-initialization
@_cdecl("LLVMFuzzerInitialize")
public func initialize(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>
) -> CInt {
    guard chosen == nil else { return 0 }
    print(targets.map(\.name).joined(separator: "\n"))
    fflush(nil)
    _exit(0)
}

/// https://llvm.org/docs/LibFuzzer.html#fuzz-target
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    chosen?.run(Array(UnsafeBufferPointer(start: bytes, count: count)))
    return 0
}

func text(_ bytes: some Sequence<UInt8>) -> String { String(decoding: Array(bytes), as: UTF8.self) }

/// The input's parts between bytes 0xff, so that one corpus file holds several texts.
func parts(_ bytes: [UInt8], _ count: Int) -> [[UInt8]] {
    var all = bytes.split(separator: 0xff, maxSplits: count - 1, omittingEmptySubsequences: false).map(Array.init)
    while all.count < count { all.append([]) }
    return all
}

private final class Box<Value>: @unchecked Sendable { var value: Value? }

/// libFuzzer's entry is not asynchronous.
func wait<Value: Sendable>(_ make: @escaping @Sendable () async -> Value) -> Value {
    let box = Box<Value>()
    let done = DispatchSemaphore(value: 0)
    Task {
        box.value = await make()
        done.signal()
    }
    done.wait()
    guard let value = box.value else { fatalError("nothing was made") }
    return value
}

/// Lines of `NAME=value`, as variables.
func environment(_ bytes: some Sequence<UInt8>) -> [String: String] {
    var found: [String: String] = [:]
    for line in text(bytes).split(separator: "\n") {
        let halves = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        if halves.count == 2 { found[String(halves[0])] = String(halves[1]) }
    }
    return found
}
