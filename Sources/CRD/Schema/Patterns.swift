extension SchemaNode.Pattern {
    /// Bucket names: https://help.aliyun.com/zh/oss/user-guide/bucket-naming-conventions
    static let uri = Self(
        expression: #"^(oss|s3)://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/([^/\x00-\x1f\x7f][^\x00-\x1f\x7f]*)?)?$"#,
        meaning: "oss://bucket/prefix/ or s3://bucket/prefix/")

    /// Host, IPv4 or [IPv6], with or without scheme and port, without a path.
    static let endpoint = Self(
        expression: #"^(https?://)?([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?$"#,
        meaning: "https://host, http://host:port or a host alone, without user name or path")

    static let region = Self(expression: "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", meaning: "a region such as cn-hangzhou")

    /// The comma separates patterns in the environment of the warm-up's container.
    static let include = Self(
        expression: #"^[^,\s\x00-\x1f\x7f]([^,\x00-\x1f\x7f]*[^,\s\x00-\x1f\x7f])?$"#,
        meaning: "a shell pattern such as *.gguf, without commas, control characters or spaces around it")

    /// https://www.alibabacloud.com/help/en/ram/user-guide/policy-elements#section-resource and
    /// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
    static let resourceName = Self(
        expression: "^[!-~]+$", meaning: "an ARN such as acs:ram::1234567890123456:role/models, without spaces")

    static let digest = Self(expression: "^sha256:[0-9a-f]{64}$", meaning: "sha256: and 64 hexadecimal digits")

    /// RFC 1123 subdomain, as all names of Secrets are.
    static let objectName = Self(
        expression: #"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"#,
        meaning: "a name of lowercase letters, digits, hyphens and dots")

    /// https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
    static let labelKey = Self(
        expression: #"^([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*/)?"#
            + "[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$",
        meaning: "a label's key such as topology.kubernetes.io/zone")

    static let labelValue = Self(
        expression: "^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$",
        meaning: "a label's value: letters, digits, -, _ and . between letters or digits")

    static let conditionType = Self(
        expression: "^[A-Za-z]([A-Za-z0-9_./-]*[A-Za-z0-9])?$", meaning: "a condition's type such as Ready")

    static let conditionReason = Self(
        expression: "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", meaning: "a reason in CamelCase")
}
