import PreloadShim

// Calls that change the user, the groups or the capabilities of the program. The C library repeats most of them on each
// thread that it knows; the library's own thread, which it does not know, takes the same (process.c).

@inline(__always)
private func followed(_ result: Int32) -> Int32 {
    if result == 0 && ossc_is_on() != 0 { ossc_follow_identity() }
    return result
}

@_cdecl("setuid")
public func hook_setuid(_ user: UInt32) -> Int32 { followed(next_setuid(user)) }

@_cdecl("setgid")
public func hook_setgid(_ group: UInt32) -> Int32 { followed(next_setgid(group)) }

@_cdecl("seteuid")
public func hook_seteuid(_ user: UInt32) -> Int32 { followed(next_seteuid(user)) }

@_cdecl("setegid")
public func hook_setegid(_ group: UInt32) -> Int32 { followed(next_setegid(group)) }

@_cdecl("setreuid")
public func hook_setreuid(_ real: UInt32, _ effective: UInt32) -> Int32 { followed(next_setreuid(real, effective)) }

@_cdecl("setregid")
public func hook_setregid(_ real: UInt32, _ effective: UInt32) -> Int32 { followed(next_setregid(real, effective)) }

@_cdecl("setresuid")
public func hook_setresuid(_ real: UInt32, _ effective: UInt32, _ saved: UInt32) -> Int32 {
    followed(next_setresuid(real, effective, saved))
}

@_cdecl("setresgid")
public func hook_setresgid(_ real: UInt32, _ effective: UInt32, _ saved: UInt32) -> Int32 {
    followed(next_setresgid(real, effective, saved))
}

@_cdecl("setgroups")
public func hook_setgroups(_ count: Int, _ groups: UnsafeRawPointer?) -> Int32 {
    followed(next_setgroups(count, groups))
}

@_cdecl("initgroups")
public func hook_initgroups(_ user: UnsafePointer<CChar>?, _ group: UInt32) -> Int32 {
    followed(next_initgroups(user, group))
}

/// Of one thread, for the C library too. A program of one thread takes it for the process.
@_cdecl("capset")
public func hook_capset(_ head: UnsafeMutableRawPointer?, _ sets: UnsafeRawPointer?) -> Int32 {
    followed(next_capset(head, sets))
}
