/// A reader for the stores' XML answers: elements and text, nothing else.
///
/// Written here because Foundation's parser (and whatever builds on it) brings libxml2 and ICU as shared libraries. The
/// input is untrusted: a document type is refused, so there are no entities but the five of XML and numeric ones; size
/// and depth are bounded; attributes are skipped.
package struct AnswerXML: Sendable, Hashable {
    package var name: String
    package var text = ""
    package var children: [AnswerXML] = []

    package static let maximumDepth = 16

    package func child(_ name: String) -> String? { children.first { $0.name == name }?.text }

    /// Nil for anything that is not one well-formed element tree.
    package static func parse(_ bytes: [UInt8]) -> AnswerXML? {
        guard let source = String(validating: bytes, as: UTF8.self) else { return nil }
        var rest = Array(source.utf8)[...]
        if rest.starts(with: [0xef, 0xbb, 0xbf]) { rest = rest.dropFirst(3) }
        var stack = [AnswerXML(name: "")]
        while let open = rest.first {
            if open != 0x3c {
                let end = rest.firstIndex(of: 0x3c) ?? rest.endIndex
                guard let text = unescaped(rest[..<end]) else { return nil }
                stack[stack.count - 1].text += text
                rest = rest[end...]
            } else if rest.starts(with: "<?".utf8) {
                guard let tail = after("?>", rest) else { return nil }
                rest = tail
            } else if rest.starts(with: "<!--".utf8) {
                guard let tail = after("-->", rest.dropFirst(4)) else { return nil }
                rest = tail
            } else if rest.starts(with: "<!".utf8) {
                return nil
            } else {
                guard let end = rest.firstIndex(of: 0x3e) else { return nil }
                var tag = rest[(rest.startIndex + 1)..<end]
                rest = rest[(end + 1)...]
                if tag.first == 0x2f {
                    guard stack.count > 1, let done = stack.popLast(), nameOf(tag.dropFirst()) == done.name else {
                        return nil
                    }
                    stack[stack.count - 1].children.append(done)
                    continue
                }
                let closed = tag.last == 0x2f
                if closed { tag = tag.dropLast() }
                let element = AnswerXML(name: nameOf(tag))
                guard !element.name.isEmpty, stack.count <= maximumDepth else { return nil }
                if closed { stack[stack.count - 1].children.append(element) } else { stack.append(element) }
            }
        }
        guard stack.count == 1, stack[0].children.count == 1 else { return nil }
        return stack[0].children[0]
    }

    /// The name without a namespace prefix.
    private static func nameOf(_ tag: ArraySlice<UInt8>) -> String {
        let name = tag.prefix { $0 > 0x20 }
        return String(decoding: name.split(separator: 0x3a).last ?? [], as: UTF8.self)
    }

    private static func after(_ mark: String, _ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        let wanted = Array(mark.utf8)
        guard let found = bytes.firstRange(of: wanted) else { return nil }
        return bytes[found.upperBound...]
    }

    private static func unescaped(_ bytes: ArraySlice<UInt8>) -> String? {
        guard bytes.contains(0x26) else { return String(decoding: bytes, as: UTF8.self) }
        var text = ""
        var rest = bytes
        while let ampersand = rest.firstIndex(of: 0x26) {
            text += String(decoding: rest[..<ampersand], as: UTF8.self)
            guard let end = rest[ampersand...].prefix(12).firstIndex(of: 0x3b) else { return nil }
            let name = String(decoding: rest[(ampersand + 1)..<end], as: UTF8.self)
            switch name {
            case "lt": text += "<"
            case "gt": text += ">"
            case "amp": text += "&"
            case "quot": text += "\""
            case "apos": text += "'"
            default:
                let value =
                    name.hasPrefix("#x")
                    ? UInt32(name.dropFirst(2), radix: 16) : name.hasPrefix("#") ? UInt32(name.dropFirst()) : nil
                guard let value, let scalar = Unicode.Scalar(value) else { return nil }
                text.unicodeScalars.append(scalar)
            }
            rest = rest[(end + 1)...]
        }
        return text + String(decoding: rest, as: UTF8.self)
    }
}
