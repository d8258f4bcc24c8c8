/// The entries of a credentials Secret: the variables of the OSS Connector, the names that ACK's OSS volumes use, and
/// those of the AWS tools.
///
/// https://help.aliyun.com/zh/ack/ack-managed-and-ack-dedicated/user-guide/mount-statically-provisioned-oss-volumes
public enum SecretKeys {
    /// Names for the access key's id, the preferred one first.
    public static let accessKeyID = ["OSS_ACCESS_KEY_ID", "akId", "AWS_ACCESS_KEY_ID"]
    public static let accessKeySecret = ["OSS_ACCESS_KEY_SECRET", "akSecret", "AWS_SECRET_ACCESS_KEY"]
    /// Only for temporary (STS) credentials.
    public static let sessionToken = ["OSS_SESSION_TOKEN", "securityToken", "AWS_SESSION_TOKEN"]
    /// When temporary credentials expire, as RFC 3339 (`2026-11-21T05:43:40Z`). Nothing depends on it but a metric.
    public static let expiration = "OSS_CREDENTIALS_EXPIRATION"
}
