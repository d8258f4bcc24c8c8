import AgentWire
import PreloadShim

// The settings of one cache: the variables of the process, with those of the cache's own in their place. A variable
// `MODELCACHE_MODEL_<n>_NAME` is NAME for the n-th entry of MODELCACHE_MODELS alone. An entry that has one takes no
// OSS_ and AWS_ variable of the process: half of one pair of keys with half of another opens nothing.

/// The entry that a variable is for, and where its own name begins; nil: it is the process's.
private func ownEntry(_ variable: UnsafePointer<CChar>) -> (entry: UInt32, name: Int)? {
    guard hasPrefix(variable, "MODELCACHE_MODEL_") else { return nil }
    var at = 17
    var entry: UInt32 = 0
    while variable[at] >= 48, variable[at] <= 57, at < 21 {
        entry = entry * 10 + UInt32(variable[at] - 48)
        at += 1
    }
    return at > 17 && variable[at] == 0x5F ? (entry, at + 1) : nil
}

/// Marks the caches that have settings of their own; a variable of no entry ends the program.
func checkOwnSettings() {
    var next = ossc_environment_all()
    while let list = next, let variable = list.pointee {
        next = list + 1
        guard let own = ownEntry(variable) else { continue }
        guard own.entry > 0, let cache = firstCache(where: { $0.pointee.entry == own.entry }) else {
            report(nil) {
                $0.append(variable, count: min(find("=", in: variable) ?? 0, 256))
                $0.append(": MODELCACHE_MODELS has no such entry; correct the number or unset the variable")
            }
            ossc_exit(ExitStatus.configuration)
        }
        cache.pointee.has_own_settings = 1
    }
}

/// The value of a setting about the source for one cache; nil when unset or empty.
private func setting(_ cache: Cache, _ name: StaticString) -> UnsafePointer<CChar>? {
    if cache.pointee.has_own_settings == 0 { return environment(name) }
    var next = ossc_environment_all()
    while let list = next, let variable = list.pointee {
        next = list + 1
        guard let own = ownEntry(variable), own.entry == cache.pointee.entry else { continue }
        let text = UnsafePointer(variable + own.name)
        let value = text + name.utf8CodeUnitCount
        if hasPrefix(text, name), value[0] == 0x3D, value[1] != 0 { return value + 1 }
    }
    return nil
}

/// `NAME: what is wrong; remedy`, with the name that the variable has for this cache.
private func refuse(_ cache: Cache, _ name: StaticString, _ message: StaticString) -> Never {
    report(nil) {
        if name.utf8CodeUnitCount == 8 && cache.pointee.source != nil {  // OSS_PATH
            $0.append("MODELCACHE_MODELS: the source of ")
            $0.append(c: cache.pointee.model_directory)
            $0.append(" ")
        } else {
            if cache.pointee.has_own_settings != 0 {
                $0.append("MODELCACHE_MODEL_")
                $0.append(number: UInt64(cache.pointee.entry))
                $0.append("_")
            }
            $0.append(name)
            $0.append(": ")
        }
        $0.append(message)
    }
    ossc_exit(ExitStatus.configuration)
}

/// Ends the program where the source of a cache, or a half pair of keys, cannot be meant.
func checkSource(_ cache: Cache) {
    // A ModelCache's socket knows its source, and these variables are inherited by every program of a pod: its agent
    // judges them when one of those programs touches the model.
    if cache.volume != nil { return }
    guard let path = cache.pointee.source ?? environment("OSS_PATH") else {
        refuse(cache, "OSS_PATH", "is not set; set it to the model's place, such as oss://bucket/path/")
    }
    let isOSS = hasPrefix(path, "oss://")
    guard isOSS || hasPrefix(path, "s3://") else {
        refuse(cache, "OSS_PATH", "does not begin with oss:// or s3://; write oss://bucket/path/")
    }
    let bucket = path + (isOSS ? 6 : 5)
    guard bucket[0] != 0, bucket[0] != slash else {
        refuse(cache, "OSS_PATH", "names no bucket; write oss://bucket/path/")
    }
    // "oss://bucket/" is a model too, the whole bucket; without the slash a path was probably forgotten.
    guard find("/", in: bucket) != nil else {
        refuse(
            cache, "OSS_PATH", "names no path in the bucket; write oss://bucket/path/, or oss://bucket/ for all of it")
    }
    if isOSS && setting(cache, "OSS_ENDPOINT") == nil {
        refuse(
            cache, "OSS_ENDPOINT",
            "is not set; set it to the bucket's endpoint, such as oss-cn-hangzhou-internal.aliyuncs.com")
    }
    let hasKey = setting(cache, "OSS_ACCESS_KEY_ID") != nil, hasSecret = setting(cache, "OSS_ACCESS_KEY_SECRET") != nil
    if hasSecret && !hasKey {
        refuse(
            cache, "OSS_ACCESS_KEY_ID",
            "is not set but OSS_ACCESS_KEY_SECRET is; set both, or neither for a public bucket")
    }
    if hasKey && !hasSecret {
        refuse(
            cache, "OSS_ACCESS_KEY_SECRET",
            "is not set but OSS_ACCESS_KEY_ID is; set both, or neither for a public bucket")
    }
}

// MARK: Sending

/// The bytes of one MC_OPEN's body; a variable that does not fit ends the program.
private struct SettingsBody {
    var text: Text
    private let limit = Int(MC_WIRE_MAX_PACKET) - MemoryLayout<mc_header>.size

    init(_ text: Text) { self.text = text }

    mutating func append(_ variable: UnsafePointer<CChar>) {
        guard text.count + length(of: variable) + 1 <= limit else { refuseTooLong(variable) }
        text.append(c: variable)
        text.append(0)
    }

    mutating func append(_ name: StaticString, _ value: UnsafePointer<CChar>) {
        guard text.count + name.utf8CodeUnitCount + length(of: value) + 2 <= limit else {
            literal(name) { refuseTooLong($0) }
        }
        text.append(name)
        text.append(0x3D)
        text.append(c: value)
        text.append(0)
    }
}

/// Sends MC_OPEN with the settings of `cache` through `link`; false when that failed. One packet holds all settings.
func sendSettings(_ cache: Cache, through link: (UnsafeMutablePointer<CChar>, Int) -> Int) -> Bool {
    withMappedBytes(Int(MC_WIRE_MAX_PACKET)) { buffer in
        var body = SettingsBody(
            Text(
                UnsafeMutableBufferPointer(
                    start: buffer.assumingMemoryBound(to: CChar.self), count: Int(MC_WIRE_MAX_PACKET))))
        appendToken(cache, &body.text)
        var next = ossc_environment_all()
        while let list = next, let variable = list.pointee {
            next = list + 1
            if let own = ownEntry(variable) {
                if own.entry == cache.pointee.entry { body.append(variable + own.name) }
            } else if isSetting(variable), !isReplaced(variable, cache) {
                body.append(variable)
            }
        }
        if cache.pointee.entry != 0 {
            body.append("MODEL_DIR", cache.pointee.model_directory)
            if let source = cache.pointee.source { body.append("OSS_PATH", source) }
        }
        return link(body.text.base, body.text.count) >= 0
    } ?? false
}

private func isSetting(_ variable: UnsafePointer<CChar>) -> Bool {
    // The token comes from its file alone, which is renewed. The list of models is this library's.
    if hasPrefix(variable, "MODELCACHE_TOKEN=") || hasPrefix(variable, "MODELCACHE_MODELS=") { return false }
    return hasPrefix(variable, "OSS_") || hasPrefix(variable, "AWS_") || hasPrefix(variable, "MODELCACHE_")
        || hasPrefix(variable, "ALIBABA_CLOUD_")
        || hasPrefix(variable, "MODEL_DIR=") || hasPrefix(variable, "HTTP_SOURCE_IP=")
        || hasPrefix(variable, "SSL_CERT_FILE=") || hasPrefix(variable, "SSL_CERT_DIR=")
}

/// Whether a variable of the process is not for this entry of MODELCACHE_MODELS.
private func isReplaced(_ variable: UnsafePointer<CChar>, _ cache: Cache) -> Bool {
    if cache.pointee.entry == 0 { return false }
    if hasPrefix(variable, "MODEL_DIR=") || hasPrefix(variable, "OSS_PATH=") { return true }
    let isOwn = cache.pointee.has_own_settings != 0
    let isKey = hasPrefix(variable, "OSS_") || hasPrefix(variable, "AWS_") || hasPrefix(variable, "ALIBABA_CLOUD_")
    if isOwn && isKey { return true }
    // A ModelCache says for itself where its bucket stands and which objects are meant.
    guard isOwn || cache.volume != nil else { return false }
    return hasPrefix(variable, "OSS_ENDPOINT=") || hasPrefix(variable, "OSS_REGION=")
        || hasPrefix(variable, "MODELCACHE_INCLUDE=") || hasPrefix(variable, "MODELCACHE_ADDRESSING=")
        || hasPrefix(variable, "MODELCACHE_SIGNATURE=") || hasPrefix(variable, "MODELCACHE_REQUEST_PAYER=")
}

/// Names the variable, never its value.
private func refuseTooLong(_ variable: UnsafePointer<CChar>) -> Never {
    report(nil) {
        $0.append(variable, count: min(find("=", in: variable) ?? length(of: variable), 256))
        $0.append(": does not fit: the OSS_, AWS_, ALIBABA_CLOUD_ and MODELCACHE_ variables together may hold 64 KiB; ")
        $0.append("shorten it or unset those not needed")
    }
    ossc_exit(ExitStatus.configuration)
}
