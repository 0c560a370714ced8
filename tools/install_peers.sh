#!/usr/bin/env bash
# Install the programs Leadglass is tested against: DCMTK, dicom3tools, Orthanc, Chromium, ClamAV, YARA. Safe to run again.
#
#   tools/install_peers.sh          install what is missing
#   tools/install_peers.sh --check  say what is there, change nothing
#
# It does two things, and says so as it goes:
#  1. apt-get install of what the machine lacks (needs root or sudo);
#  2. where the machine's own release has older versions, unpack newer ones (DCMTK 3.6.9, Orthanc 1.12.7) with
#     their libraries under .peers/, from the package mirror that apt already uses. Nothing outside .peers/ is
#     touched by this step and no package is installed; when it fails the tests use the machine's own versions.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
peers="${LEADGLASS_PEERS:-$here/.peers}"
release=trixie
say() { printf 'peers: %s\n' "$*" >&2; }

version_of() { # program
  local path="$peers/bin/$1"
  [ -x "$path" ] || path="$(PATH="/usr/bin:/usr/sbin:/bin" command -v "$1" || true)"
  [ -n "$path" ] || { echo missing; return; }
  # Read whole before cutting: a closed pipe would end the program with a signal.
  local text
  text="$("$path" --version 2>/dev/null || true)"
  printf '%s\n' "${text%%$'\n'*}"
}

report() { for name in storescp Orthanc chromium clamd yara; do say "$name: $(version_of "$name")"; done; }

if [ "${1:-}" = --check ]; then report; exit 0; fi

root_do() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo -n "$@"; else
    say "needs root or sudo for: $*"; return 1
  fi
}

install_missing() {
  local wanted=()
  [ -x /usr/bin/storescp ] || wanted+=(dcmtk)
  [ -x /usr/bin/dciodvfy ] || wanted+=(dicom3tools)
  [ -x /usr/sbin/Orthanc ] || wanted+=(orthanc)
  command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || wanted+=(chromium)
  [ -x /usr/sbin/clamd ] || wanted+=(clamav-daemon)
  [ -x /usr/bin/yara ] || wanted+=(yara)
  [ ${#wanted[@]} -gt 0 ] || { say "the packages are installed"; return 0; }
  command -v apt-get >/dev/null || { say "no apt-get here: install ${wanted[*]} by hand"; return 1; }
  say "apt-get install ${wanted[*]}"
  root_do apt-get update -qq
  # A service started by the package would take the ports of a running clinic; policy-rc.d is not ours to write,
  # so the services are stopped again where there is an init system.
  root_do env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
  if [ -d /run/systemd/system ]; then
    root_do systemctl disable --now orthanc clamav-daemon clamav-freshclam >/dev/null 2>&1 || true
  fi
}

unpack_newer() {
  [ -x "$peers/bin/storescp" ] && [ -x "$peers/bin/Orthanc" ] && { say "newer peers are unpacked in $peers"; return 0; }
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
  local sources work arch
  arch="$(dpkg --print-architecture)"
  work="$(mktemp -d)"
  trap 'rm -rf "$work"' RETURN
  mkdir -p "$work"/{sources,lists/partial,cache/archives/partial,state}
  : > "$work/state/status"
  # The mirror is whatever the machine already uses, at another release.
  local codename
  codename="$(. /etc/os-release && echo "${VERSION_CODENAME:-}")"
  [ -n "$codename" ] || return 1
  if [ "$codename" = "$release" ]; then say "this machine's own release has the newer peers"; return 0; fi
  sources=0
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [ -f "$file" ] && grep -qE "\\b$codename\\b" "$file" && grep -qE '/debian' "$file" || continue
    sed "s/\\b$codename/$release/g" "$file" > "$work/sources/$(basename "$file")"
    sources=1
  done
  [ "$sources" = 1 ] || { say "no Debian mirror is configured; keeping the machine's own peers"; return 1; }
  local apt=(apt-get -qq -o Dir::Etc::sourcelist="$work/none" -o Dir::Etc::sourceparts="$work/sources"
    -o Dir::State="$work/state" -o Dir::State::lists="$work/lists" -o Dir::State::status="$work/state/status"
    -o Dir::Cache="$work/cache" -o APT::Install-Recommends=false -o APT::Architecture="$arch"
    -o APT::Sandbox::User=root -o Debug::NoLocking=1)
  say "downloading DCMTK and Orthanc of $release (about 50 MB) into $peers"
  "${apt[@]}" update 2>/dev/null || return 1
  "${apt[@]}" -y --download-only install dcmtk orthanc >/dev/null 2>&1 || return 1
  rm -rf "$peers.new" && mkdir -p "$peers.new/root" "$peers.new/bin"
  for package in "$work"/cache/archives/*.deb; do dpkg -x "$package" "$peers.new/root"; done
  rm -rf "$peers.new/root/usr/share/doc" "$peers.new/root/usr/share/man" "$peers.new/root/usr/share/locale" \
    "$peers.new/root/usr/include"
  local loader libraries dictionary program
  loader="$(cd "$peers.new" && find root -name 'ld-linux*.so.*' \( -type f -o -type l \) | sort | head -n 1)"
  libraries="$(cd "$peers.new" && find root/usr/lib -maxdepth 2 -name 'libc.so.6' -printf '%h\n' | head -n 1)"
  dictionary="$(cd "$peers.new" && find root/usr/share -name dicom.dic | head -n 1)"
  [ -n "$loader" ] && [ -n "$libraries" ] && [ -n "$dictionary" ] || return 1
  for program in "$peers.new"/root/usr/bin/* "$peers.new"/root/usr/sbin/Orthanc; do
    case "$(basename "$program")" in
      *scu | *scp | dcm* | dump2dcm | img2dcm | termscu | Orthanc) ;;
      *) continue ;;
    esac
    # exec keeps the process id, so the tests measure and stop the program itself.
    cat > "$peers.new/bin/$(basename "$program")" <<WRAPPER
#!/bin/sh
peers="\$(cd "\$(dirname "\$0")/.." && pwd)"
DCMDICTPATH="\$peers/$dictionary" exec "\$peers/$loader" \\
  --library-path "\$peers/$libraries" "\$peers/${program#"$peers.new/"}" "\$@"
WRAPPER
    chmod +x "$peers.new/bin/$(basename "$program")"
  done
  "$peers.new/bin/storescp" --version >/dev/null 2>&1 && "$peers.new/bin/Orthanc" --version >/dev/null 2>&1 ||
    { say "the unpacked peers do not start here"; return 1; }
  rm -rf "$peers" && mv "$peers.new" "$peers"
}

install_missing || say "WARNING: tests against the missing programs will be skipped"
unpack_newer || { rm -rf "$peers.new"; say "keeping the machine's own versions"; }
report
