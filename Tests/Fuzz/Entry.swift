import Glibc

/// One parser of bytes that somebody else wrote, and what must hold of what it gives back.
struct Target: Sendable {
    let name: String
    /// Reads the bytes; traps where a promise is broken.
    let run: @Sendable ([UInt8]) -> Void
}

let targets: [Target] = storeTargets + nodeTargets + clusterTargets

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
