#!/usr/bin/env bash
# What the image's Debian needs beyond its packages, before it is packed.
set -euo pipefail
root=$1

# Whoever asks for the user's name or home gets an answer: ssh, git, Python's getpass. Longshore
# mounts a folder there that can be written.
printf 'worker:x:65532:65532:Longshore worker:/longshore/home:/bin/bash\n' >>"$root/etc/passwd"
printf 'worker:x:65532:\n' >>"$root/etc/group"
mkdir -p "$root/longshore/home"
chown 65532:65532 "$root/longshore/home"

# The script's working folder belongs to root and can be written by its group; git takes no
# repository that belongs to somebody else, unless it is named.
printf '[safe]\n\tdirectory = /longshore/work\n' >"$root/etc/gitconfig"

# Compiled against the source's hash and not its time, which the image's layers do not keep:
# compiled anew at each start, Python would be slower, and cannot keep the result in a root that is read-only.
chroot "$root" python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3.11 /usr/lib/python3 /usr/share/python3
