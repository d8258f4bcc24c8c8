/// The two protocols the store speaks. They differ in error text, codes, header names and XML.
package enum Dialect: String, Sendable, CaseIterable {
    case oss, s3

    /// Decides by the request's signature, then by its headers; `fallback` for a request with neither.
    package init(request: StoreRequest, fallback: Dialect) {
        if let authorization = request.header("authorization") {
            self = authorization.hasPrefix("AWS") ? .s3 : .oss
        } else if request.query.contains(where: { $0.name.lowercased().hasPrefix("x-amz-") }) {
            self = .s3
        } else if request.headers.contains(where: { $0.name.hasPrefix("x-oss-") }) {
            self = .oss
        } else if request.headers.contains(where: { $0.name.hasPrefix("x-amz-") || $0.name == "amz-sdk-request" }) {
            self = .s3
        } else {
            self = fallback
        }
    }
}

/// An error response. Codes and texts are those of the OSS and S3 error references.
package struct StoreError: Error, Sendable, Equatable {
    package var code: String
    package var status: Int
    package var message: String
    /// More elements of the error document, in order.
    package var fields: [Field] = []
    /// More response headers.
    package var headers: [Field] = []
    /// The fault that simulates this error, if any: its delays and breaks apply to the document too.
    package var fault: FaultAction?

    package struct Field: Sendable, Equatable {
        package var name: String
        package var value: String
        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    package init(_ code: String, _ status: Int, _ message: String, fields: [Field] = [], headers: [Field] = []) {
        self.code = code
        self.status = status
        self.message = message
        self.fields = fields
        self.headers = headers
    }

    /// The error document of the dialect.
    package func document(dialect: Dialect, requestID: String, host: String) -> String {
        var xml = XMLDocument()
        xml.open("Error")
        xml.element("Code", code)
        xml.element("Message", message)
        xml.element("RequestId", requestID)
        xml.element("HostId", host)
        for field in fields { xml.element(field.name, field.value) }
        if dialect == .oss, let ec = Self.errorCodes[code], !fields.contains(where: { $0.name == "EC" }) {
            xml.element("EC", ec)
            xml.element("RecommendDoc", "https://api.aliyun.com/troubleshoot?q=\(ec)")
        }
        xml.close("Error")
        return xml.text
    }

    /// OSS's EC numbers, for the errors whose number is documented.
    static let errorCodes = [
        "SignatureDoesNotMatch": "0002-00000201",
        "RequestTimeTooSkewed": "0002-00000504",
        "InvalidAccessKeyId": "0002-00000902",
        "InvalidSecurityToken": "0002-00000006",
        "SecurityTokenExpired": "0002-00000007",
        "AccessDenied": "0003-00000001",
        "NoSuchBucket": "0015-00000101",
        "NoSuchKey": "0026-00000001",
    ]
}

/// The text of an XML document, written in order. Elements are not indented, because SDKs read white space.
package struct XMLDocument: Sendable {
    package private(set) var text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

    package init() {}

    mutating func replace(with text: String) { self.text = text }
    package mutating func open(_ name: String, attributes: String = "") { text += "<\(name)\(attributes)>" }
    package mutating func close(_ name: String) { text += "</\(name)>" }
    package mutating func element(_ name: String, _ value: String) {
        text += "<\(name)>\(Self.escape(value))</\(name)>"
    }

    /// XML 1.0 allows no control characters but tab, newline and return, which become references. Others become U+FFFD:
    /// such keys are listed correctly only with `encoding-type=url`.
    package static func escape(_ value: String) -> String {
        var out = ""
        out.reserveCapacity(value.utf8.count)
        for scalar in value.unicodeScalars {
            switch scalar {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "\"": out += "&quot;"
            case "'": out += "&apos;"
            case "\t", "\n", "\r": out += "&#\(scalar.value);"
            case "\u{0}"..."\u{1F}", "\u{FFFE}", "\u{FFFF}": out += "\u{FFFD}"
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }
}
