# Images without a registry. To be sourced after common.sh.

pause_image=localhost/pause:1

# pause_program: compiled once for each cluster, static: it runs in an image that holds nothing else.
pause_program() {
    [ ! -e "$state/pause.tar" ] || return 0
    need_packages gcc libc6-dev
    gcc -Os -static -s -o "$state/pause" "$repository/hack/lib/cluster/pause.c" || fail "pause.c does not compile"
    python3 "$repository/hack/lib/cluster/image_tar.py" "$state/.pause.tar" "$pause_image" --entrypoint /pause "$state/pause=/pause"
    mv "$state/.pause.tar" "$state/pause.tar"
}
