#!/usr/bin/env bash
# Follows docs/OPERATING.md word for word, with the Debian package, on three machines n1, n2, n3.
#
#   scripts/package-tests.sh [PROGRAM]    which is packed; without it target/debug/offhook
#
# The machines are copies of this one (what they write goes to memory), booted by systemd in namespaces of their own, on a network of
# their own. A block marked `sh` in the page runs on n1, `sh each` on all machines in turn, `toml` is appended to the configuration of
# n1; a comment `<!-- check … -->` holds what the test does between, on n1,
# `<!-- each … -->` the same on those, and `<!-- copy FILES -->` copies files from n1 to the others.
#
# OFFHOOK_PACKAGE_BASE=FOLDER copies that system instead of this one: a bare Debian (`debootstrap --variant=minbase`), to which was added what the
# page itself installs (there is no network to install it from), systemd-sysv and dbus to boot, iproute2 and procps to look at it.
#
# Needs root and systemd-nspawn; says so and does nothing without them. OFFHOOK_REQUIRE_PACKAGE=1 makes it mandatory.
set -euo pipefail
cd "$(dirname "$0")/.."
skip() {
    printf '[tests] NOT RUN: the Debian package, because %s (scripts/setup.sh test installs what it needs)\n' "$1" >&2
    [ "${OFFHOOK_REQUIRE_PACKAGE:-0}" = 0 ] || exit 1
    exit 0
}
[ "$(id -u)" = 0 ] || skip 'it needs root'
for tool in dpkg-deb dpkg-shlibdeps systemd-nspawn systemd-analyze nsenter unshare ip curl openssl sqlite3 pg_createcluster; do
    command -v "$tool" >/dev/null || skip "$tool is missing"
done
[ -x .tools/venv/bin/nats-server ] || skip 'nats-server is missing'
unshare --net --mount --pid --fork --kill-child --mount-proc true 2>/dev/null || skip 'namespaces cannot be made here'
if [ -z "${OFFHOOK_PACKAGE_INSIDE:-}" ]; then
    OFFHOOK_PACKAGE_INSIDE=$(mktemp -d) && export OFFHOOK_PACKAGE_INSIDE
    leave() {
        # The machines are gone; their control groups are empty.
        find /sys/fs/cgroup -depth -type d -path "*/${OFFHOOK_PACKAGE_INSIDE##*/}-*" -exec rmdir {} + 2>/dev/null || true
        rm -rf "$OFFHOOK_PACKAGE_INSIDE"
    }
    trap leave EXIT
    # What happens in there ends with it: mounts, network, processes.
    unshare --net --mount --pid --fork --kill-child --mount-proc "$0" "$@" && exit 0 || exit $?
fi

work=$OFFHOOK_PACKAGE_INSIDE program=${1:-${CARGO_TARGET_DIR:-target}/debug/offhook}
mount -t tmpfs -o mode=0755 tmpfs "$work"
say() { printf '[package] %s\n' "$*"; }
fail() {
    say "FAILED: $*"
    for log in "$work"/*.log; do
        printf '\n== %s\n' "$log"
        tail -n 30 "$log"
    done
    exit 1
}

package=$(scripts/package.sh --program "$program" "$work" 2>"$work/package.log") || fail 'the package cannot be built'
newer=$(scripts/package.sh --program "$program" --suffix +next "$work" 2>>"$work/package.log") || fail 'the package cannot be built'
say "built $(basename "$package"), $(du -k "$package" | cut -f1) KiB"

ip link set lo up
ip link add offhook0 type bridge
ip link set offhook0 up
declare -A leader
boot() {
    local name=n$1 root=$work/n$1/root
    mkdir -p "$work/$name"/{root,up,work}
    mount -t overlay overlay -o "lowerdir=${OFFHOOK_PACKAGE_BASE:-/},upperdir=$work/$name/up,workdir=$work/$name/work" "$root" 2>/dev/null || skip 'this machine cannot be copied'
    echo "$name" >"$root/etc/hostname"
    rm -f "$root/etc/machine-id"
    # There is no network to fetch newer packages from: what is installed is the newest.
    rm -rf "$root/var/lib/apt/lists"
    install -m 0644 "$package" "$root/root/"
    install -D -m 0644 "$newer" "$root/root/new/$(basename "$newer")"
    # As its owner puts it there: docs/OPERATING.md says from where.
    rm -f "$root/usr/local/bin/nats-server"
    install -m 0755 .tools/venv/bin/nats-server "$root/usr/local/bin/nats-server"
    (
        own_cgroup "${work##*/}-$name"
        exec systemd-nspawn --quiet --register=no --keep-unit --directory="$root" --machine="$name" --hostname="$name" --network-bridge=offhook0 --boot \
            --console=passive systemd.unit=basic.target >"$work/$name.log" 2>&1 </dev/null
    ) &
    local booted=$!
    for _ in $(seq 200); do
        leader[$name]=$(pgrep -P "$booted" | head -1) && [ "$(on "$name" 'systemctl is-system-running' 2>/dev/null)" = running ] && break
        sleep 0.1
    done
    [ -n "${leader[$name]:-}" ] && on "$name" "ip addr add 10.0.0.$1/24 dev host0; ip link set host0 up" && return
    tail -n 30 "$work/$name.log" >&2
    skip "systemd does not boot in a container here"
}
# Machines that share a control group stop each other's services: each begins in one of its own, where that may be made.
own_cgroup() {
    local hierarchy path
    for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
        [ -e "$hierarchy/cgroup.procs" ] || continue
        case $hierarchy in
            */systemd) path=$(sed -n 's/^[0-9]*:name=systemd://p' /proc/self/cgroup) ;;
            *) path=$(sed -n 's/^0:://p' /proc/self/cgroup) ;;
        esac
        path=$hierarchy${path%/}/$1
        mkdir -p "$path" 2>/dev/null && echo "$BASHPID" 2>/dev/null >"$path/cgroup.procs" || true
    done
}
# A command as root on a machine, in an environment as after a log-in.
on() {
    nsenter --target "${leader[$1]}" --mount --uts --ipc --net --pid --root \
        env --chdir=/root -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LC_ALL=C.UTF-8 \
        bash -euo pipefail -c "$2" </dev/null
}
step() {
    on "$1" "$2" >"$work/step.log" 2>&1 && return
    on "$1" 'journalctl -u offhook -u nats --no-pager -n 20' >"$work/$1-journal.log" 2>&1 || true
    say "on $1: $2"
    fail "docs/OPERATING.md, $3"
}

for number in 1 2 3; do boot "$number"; done
say 'three machines are up'
on n1 "echo '10.0.0.1 voice.example.org' >>/etc/hosts"
begun=$SECONDS steps=0 block='' kind='' heading=''
run_block() {
    steps=$((steps + 1))
    case "$kind" in
        sh | check) step n1 "$block" "$heading" ;;
        'each '*) for name in ${kind#each }; do step "$name" "$block" "$heading"; done ;;
        'sh each') for name in n1 n2 n3; do step "$name" "$block" "$heading"; done ;;
        toml) step n1 "cat >>/etc/offhook/offhook.toml <<'END'"$'\n'"${block}END" "$heading" ;;
    esac
}
# What the page says to copy to the other machines.
copy() {
    local name
    for name in n2 n3; do
        on n1 "tar --create --file - --absolute-names $*" | nsenter --target "${leader[$name]}" --mount --root tar --extract --file - --absolute-names
    done
}
while IFS= read -r line; do
    if [ -n "$kind" ]; then
        case "$line" in
            '```' | '-->')
                run_block
                kind='' block=''
                ;;
            *) block+=$line$'\n' ;;
        esac
    else
        case "$line" in
            '```'*) kind=${line#'```'} ;;
            '<!-- check') kind=check ;;
            '<!-- each '*) kind=${line#<!-- } ;;
            '<!-- copy '*' -->') copy ${line:10:-4} ;;
            '## '*) heading=${line#\#\# } ;;
        esac
    fi
done <docs/OPERATING.md
say "$steps blocks of docs/OPERATING.md ran as they stand, in $((SECONDS - begun)) s"
