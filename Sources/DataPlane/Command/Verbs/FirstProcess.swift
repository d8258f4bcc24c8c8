import Glibc

/// A container's command is the first process of its PID namespace, for which the kernel drops every signal without a
/// handler (pid_namespaces(7)). Without handlers, a pod's deletion would wait for its complete grace period.
enum FirstProcess {
    /// SIGTERM and SIGINT end this process at once, with the exit code that a shell would report.
    static func endsAtOnce() {
        guard getpid() == 1 else { return }
        for number in [SIGTERM, SIGINT] { signal(number) { _exit(128 + $0) } }
    }
}
