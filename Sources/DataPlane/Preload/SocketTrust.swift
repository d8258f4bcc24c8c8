import PreloadShim

// Settings hold keys, so a socket is used only when nobody but the caller and root can have put it there: the socket,
// every folder above it and every link on the way belong to one of the two, and no other user may write to a folder,
// unless the sticky bit keeps others from replacing what is in it. The library asks the kernel which process listens
// (SO_PEERCRED) before it sends anything. DataPlane/Sessions has the same rule for the command.

private let maximumLinks = 16
/// Users that a user namespace does not know all look like this one.
private let overflowUser: UInt32 = 65534

/// A ModelCache's volume is root's of the node, whom a pod's user namespace may not know.
private func isTrustedUser(_ user: UInt32, _ cache: Cache) -> Bool {
    user == 0 || user == UInt32(ossc_getuid()) || (user == overflowUser && cache.volume != nil && isInUserNamespace)
}

/// The first namespace maps all users onto themselves.
private var isInUserNamespace: Bool {
    let descriptor = ossc_open(-100, "/proc/self/uid_map", 0o2000000, 0)
    guard descriptor >= 0 else { return false }
    defer { _ = ossc_close(Int32(descriptor)) }
    return withBuffer { buffer in
        let n = ossc_read(Int32(descriptor), buffer, 255)
        guard n > 0 else { return false }
        let text = buffer.assumingMemoryBound(to: CChar.self)
        text[n] = 0
        return find("4294967295", in: text) == nil
    }
}

/// Whether the user at the other end of the cache's socket may see the settings; `why` says why not.
func isTrustedPeer(_ user: Int, of cache: Cache, _ why: inout Text) -> Bool {
    if user >= 0 && isTrustedUser(UInt32(user), cache) { return true }
    why.clear()
    why.append("user ")
    why.append(number: UInt64(max(user, 0)))
    why.append(
        " listens there, neither this user nor root: nothing was sent; set MODELCACHE_ROOT or MODELCACHE_SOCKET to a place of your own"
    )
    return false
}

/// Whether nobody else can have put the cache's socket where it is, or can replace it. A path that does not exist yet
/// is judged as far as it does.
func hasTrustedSocket(_ cache: Cache, _ why: inout Text) -> Bool {
    withPath { rest in
        rest.append(c: cache.socket)
        var links = 0
        while let again = walk(&rest, cache, &why, &links) {
            if again { continue }
            return true
        }
        return false
    }
}

/// Goes down `rest` from the root. true: a link was put in its place, walk again; false: all is well; nil: not trusted.
private func walk(_ rest: inout Text, _ cache: Cache, _ why: inout Text, _ links: inout Int) -> Bool? {
    withPath { at -> Bool? in
        var i = 0
        while rest.base[i] != 0 {
            while rest.base[i] == slash { i += 1 }
            let start = i
            while rest.base[i] != 0 && rest.base[i] != slash { i += 1 }
            if i == start { break }
            let before = at.count
            at.append(slash)
            at.append(rest.base + start, count: i - start)
            let entry = ossc_identify_path(at.base, 0)
            guard entry.error == 0 else { return false }  // Connecting says what is wrong.
            let kind = entry.mode & UInt32(OSSC_TYPE_MASK)
            if kind == 0o120000 {
                guard isTrustedUser(entry.owner, cache), links < maximumLinks else {
                    return refuse(at.base, entry, cache, &why)
                }
                links += 1
                return follow(&rest, at, before, i)
            }
            guard isSafe(entry, cache, isFolder: kind == UInt32(OSSC_TYPE_DIRECTORY)) else {
                return refuse(at.base, entry, cache, &why)
            }
        }
        return false
    }
}

/// Puts a link's target in place of its name.
private func follow(_ rest: inout Text, _ link: Text, _ folderLength: Int, _ end: Int) -> Bool {
    withPath { target in
        let n = ossc_readlink(link.base, target.base, target.capacity - 1)
        guard n > 0 else { return false }
        target.truncate(to: n)
        withPath { whole in
            if target.base[0] != slash { whole.append(link.base, count: folderLength) }
            if target.base[0] != slash { whole.append(slash) }
            whole.append(c: target.base)
            whole.append(c: rest.base + end)
            rest.clear()
            appendNormalised(whole.base, to: &rest)
        }
        return true
    }
}

/// Owned by the caller or root, and a folder's entries are safe from others: not writable to them, or sticky.
private func isSafe(_ entry: ossc_identity, _ cache: Cache, isFolder: Bool) -> Bool {
    guard isTrustedUser(entry.owner, cache) else { return false }
    guard isFolder else { return true }
    let isGroupWritable = entry.mode & 0o020 != 0 && entry.group != 0
    return entry.mode & 0o1000 != 0 || (entry.mode & 0o002 == 0 && !isGroupWritable)
}

private func refuse(
    _ path: UnsafePointer<CChar>, _ entry: ossc_identity, _ cache: Cache, _ why: inout Text
) -> Bool? {
    why.clear()
    why.append("is not safe to use: ")
    why.append(c: path)
    if isTrustedUser(entry.owner, cache) {
        why.append(" can be written by other users (mode ")
        why.append(octal: entry.mode & 0o7777)
        why.append("), who could listen in the agent's place; take that right away (chmod go-w)")
    } else {
        why.append(" belongs to user ")
        why.append(number: UInt64(entry.owner))
        why.append(", neither this user nor root; remove it")
    }
    why.append(", or set MODELCACHE_ROOT or MODELCACHE_SOCKET to a place of your own")
    return nil
}
