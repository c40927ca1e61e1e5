#!/usr/bin/env bash
# Builds a Debian package of the server and prints its name: scripts/package.sh [--program FILE [--suffix TEXT]] [FOLDER]
#
#   --program FILE   with this program instead of a fresh optimized one, for tests of the package itself
#   --suffix TEXT    behind the version
set -euo pipefail
cd "$(dirname "$0")/.."
program='' suffix='' compression=xz
while [ $# -gt 1 ]; do
    case "$1" in
        # A test is in a hurry.
        --program) program=$2 compression=gzip ;;
        --suffix) suffix=$2 ;;
        *) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift 2
done
out=${1:-${CARGO_TARGET_DIR:-target}/package}
mkdir -p "$out"
out=$(realpath "$out")
if [ -z "$program" ]; then
    cargo build --release -p offhook-cli
    program=${CARGO_TARGET_DIR:-target}/release/offhook
fi
version=$("$program" --version | sed -n 's/^offhook \([0-9][^ ]*\).*/\1/p')$suffix
architecture=$(dpkg --print-architecture)

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 0755 "$tree"
put() { install -D -m "$1" "$2" "$tree/root/$3"; }
put 0755 "$program" usr/bin/offhook
strip --strip-debug "$tree/root/usr/bin/offhook"
put 0644 packaging/offhook.service usr/lib/systemd/system/offhook.service
put 0644 packaging/sysusers.conf usr/lib/sysusers.d/offhook.conf
put 0640 packaging/offhook.toml etc/offhook/offhook.toml
put 0640 packaging/environment etc/offhook/environment
for page in docs/*.md CHANGELOG.md README.md SECURITY.md; do
    put 0644 "$page" "usr/share/doc/offhook/$(basename "$page")"
done
cat LICENSE-MIT LICENSE-APACHE >"$tree/copyright"
put 0644 "$tree/copyright" usr/share/doc/offhook/copyright

# Which libraries, in which versions, is asked of the system it was built on.
mkdir -p "$tree/debian"
printf 'Source: offhook\n\nPackage: offhook\nArchitecture: any\n' >"$tree/debian/control"
libraries=$(cd "$tree" && dpkg-shlibdeps -O -e root/usr/bin/offhook 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
[ -n "$libraries" ] || { echo "[package] the libraries of $program are not known to dpkg" >&2; exit 1; }
mkdir -p "$tree/root/DEBIAN"
cat >"$tree/root/DEBIAN/control" <<EOF
Package: offhook
Version: $version
Architecture: $architecture
Maintainer: The Offhook developers <offhook@localhost>
Depends: $libraries, systemd | systemd-standalone-sysusers
Recommends: ca-certificates
Installed-Size: $(du -sk --exclude DEBIAN "$tree/root" | cut -f1)
Section: net
Priority: optional
Homepage: https://github.com/offhook/offhook
Description: self-hosted voice calling: the server and its command
 Signaling, call routing, call records, webhooks, a REST interface and a TURN
 relay in one process, for applications that let people call each other.
EOF
printf '/etc/offhook/offhook.toml\n/etc/offhook/environment\n' >"$tree/root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    install -m 0755 "packaging/$script" "$tree/root/DEBIAN/$script"
done
package=$out/offhook_${version}_$architecture.deb
dpkg-deb --root-owner-group -Z$compression --build "$tree/root" "$package" >&2
echo "$package"
