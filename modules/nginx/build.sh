#!/bin/bash
# Builds ngx_http_evenkeel_module.so for the installed NGINX of Debian (package nginx-dev).
#
#     build.sh [FOLDER]
#
# FOLDER, target/nginx if none is given, gets the module and all that is made on the way.
# The C library must be there already: cargo build --profile dist --package evenkeel-capi
set -euo pipefail

module=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$module/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
mkdir -p "${1:-$target/nginx}"
out=$(cd "${1:-$target/nginx}" && pwd)
sources=${NGINX_SOURCES:-/usr/share/nginx/src}

export EVENKEEL_LIB=${EVENKEEL_LIB:-$target/dist}
export EVENKEEL_INCLUDE=${EVENKEEL_INCLUDE:-$root/runtime-min/include}

if [[ ! -f $EVENKEEL_LIB/libevenkeel.a ]]; then
    echo "$EVENKEEL_LIB/libevenkeel.a is missing: cargo build --profile dist --package evenkeel-capi" >&2
    exit 1
fi
if [[ ! -f $sources/conf_flags ]]; then
    echo "$sources/conf_flags is missing: apt-get install nginx-dev" >&2
    exit 1
fi

cd "$sources"
# shellcheck source=/dev/null
. ./conf_flags

# What the installed NGINX was built with, and every warning an error.
cflags="$(dpkg-buildflags --get CFLAGS) -fPIC $(dpkg-buildflags --get CPPFLAGS) -Wall -Wextra -Wno-unused-parameter -Werror"
ldflags="$(dpkg-buildflags --get LDFLAGS) -fPIC"

# With the folders, which `configure` writes into its makefile: a copied checkout has others.
stamp="$cflags $ldflags ${NGX_CONF_FLAGS[*]} $(dpkg-query --show nginx-dev) $(cksum "$module/config") $module $out"
if [[ ! -f $out/objs/Makefile || "$(cat "$out/stamp" 2>/dev/null)" != "$stamp" ]]; then
    rm -rf "$out/objs" "$out/stamp"
    ./configure --with-cc-opt="$cflags" --with-ld-opt="$ldflags" "${NGX_CONF_FLAGS[@]}" \
        --add-dynamic-module="$module" --builddir="$out/objs" > "$out/configure.log" ||
        { tail -n 20 "$out/configure.log" >&2; exit 1; }
    printf '%s' "$stamp" > "$out/stamp"
fi
make --silent -f "$out/objs/Makefile" modules
# A new file: an NGINX that runs with the one before keeps it.
cp --remove-destination "$out/objs/ngx_http_evenkeel_module.so" "$out/"
echo "$out/ngx_http_evenkeel_module.so"
